"""Films episodes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nondiff.agents.strategy import Policy
from nondiff.envs.errors import InvalidOptionError
from nondiff.envs.recipe import EnvRecipe
from nondiff.experiments.episodes import Episode, play
from nondiff.files.kinds import UnsafePathError
from nondiff.files.output import check_output, replacing

FRAME_RATE = 25  # [Hz]
# [px]; larger pictures are reduced to it, which smooths their edges.
LARGEST_WIDTH = {".mp4": 640, ".gif": 480}
PAUSE = 0.8  # [s] on an episode's last picture
COVERAGE = Image.Quantize.MAXCOVERAGE  # keeps the colour of small things
NO_DITHER = Image.Dither.NONE
CAPTION_COLOUR = (35, 40, 48)

Picture = NDArray[np.uint8]


def check_video_path(path: Path) -> None:
    """Refuse a file that can't be written as a video.

    Raises:
        InvalidOptionError: an unknown suffix, or no such folder.
    """
    if path.suffix not in LARGEST_WIDTH:
        raise InvalidOptionError(
            f"--video {path}: the name must end in {' or '.join(LARGEST_WIDTH)}"
        )
    if not path.absolute().parent.is_dir():
        raise InvalidOptionError(f"--video {path}: there is no folder {path.absolute().parent}")
    try:
        check_output(path)
    except UnsafePathError as error:
        raise InvalidOptionError(f"--video {path}: it {error.strerror}") from error


def film(recipe: EnvRecipe, policy: Policy, seeds: list[int], path: Path) -> list[Episode]:
    """Film one episode a seed into an mp4 or gif file, which appears whole.

    An environment that renders several pictures a step is shown in slow motion.

    Raises:
        InvalidOptionError: the path is none for a video, or the environment renders no pictures.
    """
    check_video_path(path)
    mode = _render_mode(recipe)
    with replacing(path) as new, closing(recipe.make(render_mode=mode)) as env:
        file: _Mp4 | _Gif = _Mp4(new) if path.suffix == ".mp4" else _Gif(new)
        with closing(file):
            reel = _Reel(env, LARGEST_WIDTH[path.suffix], file.append)
            return [reel.shoot(policy, seed) for seed in seeds]


def _render_mode(recipe: EnvRecipe) -> str:
    with recipe.opened() as env:
        offered = env.metadata.get("render_modes") or []
    for mode in ("rgb_array_list", "rgb_array"):
        if mode in offered:
            return mode
    raise InvalidOptionError(
        f"{recipe.id} can't be filmed: its render modes are {offered}, without rgb_array"
    )


class _Reel:
    """Episodes as captioned pictures."""

    def __init__(
        self, env: gymnasium.Env[Any, Any], width: int, append: Callable[[Picture], None]
    ) -> None:
        self._env = env
        self._width = width
        self._append = append
        per_step = env.metadata.get("frames_per_step", 1)
        speed = FRAME_RATE / (per_step * env.metadata.get("render_fps", FRAME_RATE))
        self._speed = "" if speed == 1 else f"  ({speed:.2g}x speed)"
        self._episodes = 0
        self._steps = 0
        self._last: Image.Image | None = None

    def shoot(self, policy: Policy, seed: int) -> Episode:
        """Play an episode before the camera, and rest on how it ended."""
        self._episodes += 1
        self._steps = 0
        episode = play(self._env, policy, [seed], on_step=self._take)[0]
        result = f"return {episode.episode_return:.2f}"
        if episode.success is not None:
            result = f"{'success' if episode.success else 'no success'}, {result}"
        assert self._last is not None
        final = self._captioned(self._last, f"step {episode.length}: {result}")
        for _ in range(round(PAUSE * FRAME_RATE)):
            self._append(final)
        return episode

    def _take(self, seed: int) -> None:
        rendered: Any = self._env.render()
        for picture in rendered if isinstance(rendered, list) else [rendered]:
            self._last = _reduced(Image.fromarray(picture), self._width)
            self._append(self._captioned(self._last, f"step {self._steps}{self._speed}"))
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


def _reduced(image: Image.Image, width: int) -> Image.Image:
    """At most so wide; the sides even, as video codecs want them."""
    scale = min(1.0, width / image.width)
    size = tuple(max(2, round(side * scale) // 2 * 2) for side in image.size)
    return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)


class _Mp4:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Generator[None, Picture | None, None] | None = None

    def append(self, frame: Picture) -> None:
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            self._writer = imageio_ffmpeg.write_frames(
                str(self._path), size, fps=FRAME_RATE, quality=8, macro_block_size=2
            )
            self._writer.send(None)
        self._writer.send(np.ascontiguousarray(frame))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Gif:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._images: list[Image.Image] = []

    def append(self, frame: Picture) -> None:
        self._images.append(Image.fromarray(frame).quantize(method=COVERAGE, dither=NO_DITHER))

    def close(self) -> None:
        if self._images:
            first, *rest = self._images
            duration = 1000 // FRAME_RATE  # [ms]
            first.save(self._path, save_all=True, append_images=rest, duration=duration, loop=0)
