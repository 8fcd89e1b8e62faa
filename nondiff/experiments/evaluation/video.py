"""Films episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from nondiff.agents.strategy import Policy
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import EnvironmentFailedError, InvalidOptionError, NondiffError, RunError
from nondiff.experiments.evaluation.episodes import Episode, play
from nondiff.experiments.evaluation.film_files import FRAME_RATE, Gif, Mp4, Picture, find_ffmpeg
from nondiff.experiments.evaluation.pictures import Pictures
from nondiff.files.kinds import UnsafePathError
from nondiff.files.output import check_output, replacing

# [px]; larger pictures are reduced to it, which smooths their edges.
MAX_WIDTH = {".mp4": 640, ".gif": 480}
MAX_HEIGHT = 2160  # [px]
MAX_HELD = 2 * FRAME_RATE  # frames that a picture stays; an environment may say any rate
PAUSE = 0.8  # [s] on an episode's last picture
RATES = (1e-6, 1e6)  # that are believed [Hz]
CAPTION_COLOUR = (35, 40, 48)


def check_video_path(path: Path) -> None:
    """Refuse a file that can't be written as a video.

    Raises:
        InvalidOptionError: an unknown suffix, or no such folder.
    """
    if path.suffix not in MAX_WIDTH:
        raise InvalidOptionError(f"--video {path}: the name must end in {' or '.join(MAX_WIDTH)}")
    if not path.absolute().parent.is_dir():
        raise InvalidOptionError(f"--video {path}: there is no folder {path.absolute().parent}")
    try:
        check_output(path)
    except UnsafePathError as error:
        raise InvalidOptionError(f"--video {path}: it {error.strerror}") from error


def check_film(recipe: EnvRecipe, path: Path, seed: int) -> None:
    """Refuse an environment that can't be filmed: look at its first picture.

    Raises:
        InvalidOptionError: it renders no pictures.
        MissingDependencyError: the program that writes such files is missing.
        EnvironmentFailedError: it raised.
    """
    if path.suffix == ".mp4":
        find_ffmpeg()
    with recipe.opened(render_mode=_render_mode(recipe)) as env:
        try:
            env.reset(seed=seed)
        except NondiffError:
            raise
        except Exception as error:
            raise _failure(recipe.id, "reset", error) from error
        _rendered(env, Pictures(recipe.id))


def can_be_filmed(recipe: EnvRecipe) -> bool:
    """Whether an environment says that it renders pictures."""
    try:
        _render_mode(recipe)
    except NondiffError:
        return False
    return True


def film(
    recipe: EnvRecipe,
    policy: Policy,
    seeds: list[int],
    path: Path,
    note: Callable[[str], None] = lambda text: None,
) -> list[Episode]:
    """Film one episode a seed into an mp4 or gif file, which is replaced atomically.

    An environment that renders several pictures a step is shown in slow motion, and a picture
    stays as long as the environment's rate says. `note` is told of each episode, since some take a
    minute to draw.

    Raises:
        InvalidOptionError: the path is none for a video, or the environment renders no pictures.
        EnvironmentFailedError: the environment raised.
        RunError: the film can't be written.
    """
    check_video_path(path)
    mode = _render_mode(recipe)
    try:
        with (
            replacing(path) as new,
            recipe.opened(render_mode=mode) as env,
            Mp4(new) if path.suffix == ".mp4" else Gif(new) as file,
        ):
            reel = _Reel(recipe.id, env, MAX_WIDTH[path.suffix], file.append)
            episodes = []
            for number, seed in enumerate(seeds, 1):
                note(f"filming episode {number} of {len(seeds)}")
                episodes.append(reel.shoot(policy, seed))
            return episodes
    except OSError as error:
        raise RunError(f"--video {path} can't be written: {error.strerror or error}") from error


def _render_mode(recipe: EnvRecipe) -> str:
    with recipe.opened() as env:
        offered = _metadata(env).get("render_modes")
    modes = list(offered) if isinstance(offered, list | tuple | set | frozenset) else []
    for mode in ("rgb_array_list", "rgb_array"):
        if mode in modes:
            return mode
    raise InvalidOptionError(
        f"{recipe.id} can't be filmed: its render modes are {offered or []}, without rgb_array"
    )


def _metadata(env: gymnasium.Env[Any, Any]) -> Mapping[str, Any]:
    found: Any = env.metadata
    return found if isinstance(found, Mapping) else {}


def _rendered(env: gymnasium.Env[Any, Any], pictures: Pictures) -> list[Image.Image]:
    try:
        given: Any = env.render()
    except NondiffError:
        raise
    except Exception as error:
        raise _failure(pictures.name, "render", error) from error
    return pictures.of(given)


def _failure(name: str, call: str, error: Exception) -> EnvironmentFailedError:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return EnvironmentFailedError(f"{name} can't be filmed: its {call} raised {said}")


def _pace(metadata: Mapping[str, Any]) -> tuple[int, str]:
    """For how many frames a picture stays, and how fast that is beside the environment's time."""
    fps, per_step = (_positive(metadata.get(k)) for k in ("render_fps", "frames_per_step"))
    rate = (fps or FRAME_RATE) * (per_step or 1)
    held = min(MAX_HELD, max(1, round(FRAME_RATE / rate)))
    speed = FRAME_RATE / (rate * held)
    return held, "" if speed == 1 else f"  ({speed:.2g}x speed)"


def _positive(value: Any) -> float | None:
    """A number that can be a rate; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    return float(value) if RATES[0] <= value <= RATES[1] else None


class _Reel:
    """Episodes as captioned pictures, all of the size of the first."""

    def __init__(
        self,
        name: str,
        env: gymnasium.Env[Any, Any],
        width: int,
        append: Callable[[Picture], None],
    ) -> None:
        self._name = name
        self._env = env
        self._pictures = Pictures(name)
        self._width = width
        self._append = append
        self._held, self._speed = _pace(_metadata(env))
        self._episodes = 0
        self._steps = 0
        self._size: tuple[int, int] | None = None
        self._last: Image.Image | None = None

    def shoot(self, policy: Policy, seed: int) -> Episode:
        """Play an episode before the camera, and rest on how it ended."""
        self._episodes += 1
        self._steps = 0
        episode = play(self._env, policy, [seed], on_step=self._take)[0]
        result = f"return {episode.episode_return:.2f}"
        if episode.success is not None:
            result = f"{'success' if episode.success else 'no success'}, {result}"
        if self._last is None:
            raise InvalidOptionError(
                f"{self._name} can't be filmed: its render gave lists without a picture"
            )
        final = self._captioned(self._last, f"step {episode.length}: {result}")
        for _ in range(round(PAUSE * FRAME_RATE)):
            self._append(final)
        return episode

    def _take(self, seed: int) -> None:
        for picture in _rendered(self._env, self._pictures):
            self._size = self._size or _reduced_size(picture, self._width)
            self._last = _fitted(picture, self._size)
            frame = self._captioned(self._last, f"step {self._steps}{self._speed}")
            for _ in range(self._held):
                self._append(frame)
        self._steps += 1

    def _captioned(self, image: Image.Image, text: str) -> Picture:
        image = image.copy()
        size = max(10, image.width // 32)
        ImageDraw.Draw(image).text(
            (size, size // 2),
            f"episode {self._episodes}  {text}",
            CAPTION_COLOUR,
            ImageFont.load_default(size),
            stroke_width=2,
            stroke_fill="white",
        )
        return np.asarray(image)


def _reduced_size(image: Image.Image, width: int) -> tuple[int, int]:
    """At most so wide; the sides even, as video codecs want them."""
    scale = min(1.0, width / image.width, MAX_HEIGHT / image.height)
    across, down = (max(2, round(side * scale) // 2 * 2) for side in image.size)
    return across, down


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture of this size, with white beside one of another shape."""
    if _reduced_size(image, size[0]) == size:
        return image.resize(size, Image.Resampling.LANCZOS)
    return ImageOps.pad(image, size, Image.Resampling.LANCZOS, color="white")
