"""Whatever an environment's `render` gives is shown, or refused in a line that says what it is."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from conftest import FEW_EPISODES, Command
from gymnasium import spaces
from PIL import Image

from nondiff.env_recipe import EnvRecipe
from nondiff.errors import InvalidOptionError, NondiffError, RunError
from nondiff.experiments.evaluation.episodes import RandomPolicy
from nondiff.experiments.evaluation.film_files import find_ffmpeg
from nondiff.experiments.evaluation.pictures import Pictures
from nondiff.experiments.evaluation.video import can_be_filmed, check_film, film

LENGTH = 3
ID = "Drawn-v0"
GREY, COLOURS = np.full((41, 60), 100, np.uint8), np.full((41, 60, 3), 100, np.uint8)


class Drawn(gymnasium.Env[Any, Any]):
    """Its pictures are what a test makes them, one after the other."""

    metadata: Any = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space, action_space = spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (1,))
    pictures: tuple[Any, ...] = ()

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self.now = render_mode, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.now = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.now += 1
        return np.zeros(2, np.float32), 1.0, False, self.now >= LENGTH, {}

    def render(self) -> Any:
        picture = self.pictures[min(self.now, len(self.pictures) - 1)]
        if isinstance(picture, Exception):
            raise picture
        return picture


@pytest.fixture
def drawn() -> Iterator[type[Drawn]]:
    """An environment of one's own to fill, registered as `ID`."""
    kind = type("Drawn", (Drawn,), {})
    gymnasium.register(ID, entry_point=kind, disable_env_checker=True, order_enforce=False)
    try:
        yield kind
    finally:
        del gymnasium.registry[ID]


def shoot(path: Path) -> None:
    film(EnvRecipe(ID), RandomPolicy(Drawn.action_space), [1], path)


def only_files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def frames(path: Path) -> tuple[int, tuple[int, int]]:
    """How many pictures an mp4 file has, and their width and height."""
    done = subprocess.run(
        [find_ffmpeg(), "-i", f"file:{path}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
    )
    found = re.search(rb"Video: .*?, (\d+)x(\d+)", done.stderr)
    assert found is not None
    size = (int(found[1]), int(found[2]))
    return len(done.stdout) // (3 * size[0] * size[1]), size


LEVEL = {  # what comes out as the byte 100
    "bytes": COLOURS,
    "grey": GREY,
    "grey with a channel": GREY[:, :, None],
    "opacity": np.dstack([COLOURS, np.zeros((41, 60), np.uint8)]),
    "channels first": np.moveaxis(COLOURS, 2, 0),
    "from 0 to 1": (COLOURS / 255).astype(np.float32),
    "half precision": (COLOURS / 255).astype(np.float16),
    "from 0 to 255": COLOURS.astype(np.float64),
    "integers": COLOURS.astype(np.int64),
    "turned around": COLOURS[::-1, ::-1],
    "nested lists": GREY.tolist(),
    "picture": Image.fromarray(COLOURS),
    "grey picture": Image.fromarray(GREY),
}


@pytest.mark.parametrize("name", LEVEL)
def test_a_picture_is_understood(name: str) -> None:
    (picture,) = Pictures(ID).of(LEVEL[name])
    assert (picture.mode, picture.size) == ("RGB", (60, 41))
    assert np.abs(np.asarray(picture).astype(int) - 100).max() <= 1


def test_black_and_white_are_the_ends_of_the_scale() -> None:
    (picture,) = Pictures(ID).of(np.eye(3, dtype=bool))
    assert np.array_equal(np.asarray(picture)[:, :, 0], np.eye(3, dtype=np.uint8) * 255)


def test_a_dark_picture_of_large_numbers_is_dark() -> None:
    pictures = Pictures(ID)
    pictures.of(COLOURS.astype(float))
    (dark,) = pictures.of(np.ones((2, 2, 3)))
    assert np.asarray(dark).max() == 1


@pytest.mark.parametrize("several", [[GREY, COLOURS], (COLOURS, GREY), np.stack([COLOURS] * 2), []])
def test_lists_of_pictures_are_several(several: Any) -> None:
    assert len(Pictures(ID).of(several)) == len(several)


REFUSED: dict[str, tuple[Any, str]] = {
    "none": (None, "gave None"),
    "text": ("a\x1b[31m\nb", "a text of 8 characters"),
    "object": (object(), "an object of type object"),
    "dictionary": ({"rgb": COLOURS}, "of type dict"),
    "number": (3.5, "shape ()"),
    "row": (np.zeros(5, np.uint8), "shape (5,)"),
    "empty": (np.zeros((0, 60, 3), np.uint8), "shape (0, 60, 3)"),
    "no width": (np.zeros((41, 0), np.uint8), "shape (41, 0)"),
    "two channels": (np.zeros((41, 60, 2), np.uint8), "shape (41, 60, 2)"),
    "channels in the middle": (np.zeros((41, 3, 60), np.uint8), "shape (41, 3, 60)"),
    "five dimensions": (np.zeros((1, 2, 41, 60, 3), np.uint8), "shape (1, 2, 41, 60, 3)"),
    "texts": (np.full((41, 60, 3), "x"), "of type ndarray"),
    "complex": (np.zeros((41, 60, 3), complex), "of type ndarray"),
    "NaN": (np.full((41, 60), np.nan), "from nan to nan"),
    "infinite": (np.full((41, 60), np.inf), "from inf"),
    "negative": (np.full((41, 60), -1), "from -1 to -1"),
    "too large": (np.full((41, 60), 256, np.uint16), "from 256 to 256"),
    "list of none": ([None], "gave None"),
    "ragged": ([[1, 2], [3]], "of type list"),
    "raises": (RuntimeError("EGL:\nno display"), "render raised RuntimeError: EGL: no display"),
    "refuses": (ValueError(), "render raised ValueError"),
    "empty lists": ([], "lists without a picture"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("at", [0, 1])
def test_what_is_no_picture_is_refused_and_an_old_film_stays(
    name: str, at: int, drawn: Any, tmp_path: Path
) -> None:
    given, words = REFUSED[name]
    drawn.pictures = (*[COLOURS] * at, given)
    if at and name == "empty lists":
        return  # there was one picture
    old = tmp_path / "film.gif"
    old.write_bytes(b"old")
    with pytest.raises(NondiffError) as refusal:
        shoot(old)
    assert str(refusal.value).startswith(f"{ID} can't be filmed: ")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert (old.read_bytes(), only_files(tmp_path)) == (b"old", {"film.gif"})


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_pictures_that_change_their_size_and_kind_are_one_film(
    suffix: str, drawn: Any, tmp_path: Path
) -> None:
    drawn.pictures = (COLOURS, GREY[:17], np.zeros((200, 9, 3)), [COLOURS, GREY])
    path = tmp_path / f"a film: 100 %d{suffix}"
    shoot(path)
    if suffix == ".mp4":
        assert frames(path)[1] == (60, 40)
    else:
        with Image.open(path) as image:
            assert image.size == (60, 40)
    assert only_files(tmp_path) == {path.name}


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (9000, 1), (3, 5, 3)])
def test_odd_and_extreme_sizes_are_filmed(
    shape: tuple[int, ...], drawn: Any, tmp_path: Path
) -> None:
    drawn.pictures = (np.zeros(shape, np.uint8),)
    shoot(tmp_path / "film.mp4")
    number, (width, height) = frames(tmp_path / "film.mp4")
    assert number >= LENGTH
    assert width % 2 == height % 2 == 0


@pytest.mark.parametrize(
    "rate",
    [None, 0, -5, math.nan, math.inf, "25", True, [25], 1j, 10**400, 1e-320, np.float32(50)],
    ids=lambda value: str(value)[:20],
)
def test_any_rate_is_filmed(rate: Any, drawn: Any, tmp_path: Path) -> None:
    drawn.pictures = (COLOURS,)
    modes = {"render_modes": ["rgb_array"]}
    drawn.metadata = modes | {"render_fps": rate, "frames_per_step": rate}
    shoot(tmp_path / "film.gif")
    assert only_files(tmp_path) == {"film.gif"}


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"render_modes": None}, {"render_modes": "rgb_array"}, {"render_modes": ["ansi"]}],
    ids=lambda value: str(value)[:20],
)
def test_an_environment_without_pictures_is_refused(
    metadata: Any, drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Gymnasium itself warns of it, or fails, before we can ask.
    monkeypatch.setattr(EnvRecipe, "make", lambda self, render_mode=None: drawn(render_mode))
    drawn.metadata = metadata
    with pytest.raises(InvalidOptionError, match=r"can't be filmed: its render modes are .*"):
        check_film(EnvRecipe(ID), tmp_path / "film.mp4", seed=1)
    assert not can_be_filmed(EnvRecipe(ID))


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/ffmpeg"])
def test_an_ffmpeg_that_is_missing_or_fails_is_a_line(
    program: str, drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program)
    drawn.pictures = (COLOURS,)
    old = tmp_path / "film.mp4"
    old.write_bytes(b"old")
    with pytest.raises(NondiffError, match="ffmpeg") as refusal:
        shoot(old)
    assert "\n" not in str(refusal.value)
    assert (old.read_bytes(), only_files(tmp_path)) == (b"old", {"film.mp4"})


def test_an_ffmpeg_that_fails_late_leaves_no_film(
    drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.stdin.buffer.read()\nsys.exit('no')\n")
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    drawn.pictures = (COLOURS,)
    with pytest.raises(RunError, match="ffmpeg ended with 1: no"):
        shoot(tmp_path / "film.mp4")
    assert only_files(tmp_path) == {"ffmpeg"}


def test_evaluate_refuses_before_it_plays(
    drawn: Any, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    drawn.pictures = (GREY,)
    small = ("--n-steps", 16, "--num-envs", 2, "--batch-size", 16, "--n-epochs", 1)
    train = ("--env", ID, "--budget", 32, *small, *FEW_EPISODES)
    assert command("train", *train, "--name", "a").code == 0
    few = ("--episodes", 1, "--random-episodes", 0, "--video-episodes", 1)
    answer = command("evaluate", "runs/a", *few, "--video", "film.mp4", "--trust")
    assert answer.code == 0, answer.err
    assert "filming episode 1 of 1\n" in answer.err
    assert "filmed 1 episode in film.mp4 (--video-episodes)" in answer.err
    drawn.pictures = (None,)
    answer = command("evaluate", "runs/a", *few, "--video", "film.gif", "--trust")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {ID} can't be filmed: its render gave None; ")
    assert answer.err.count("\n") == 1
    assert only_files(tmp_path) == {"runs", "film.mp4"}
