"""Films episodes."""

from __future__ import annotations

import os
from collections.abc import Iterator
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

SUFFIXES = (".mp4", ".gif")
FRAME_RATE = 25  # [Hz]
LARGEST_WIDTH = 640  # [px]; larger pictures are reduced to it, which smooths their edges
PAUSE = 0.8  # [s] on an episode's last picture
GIF_COLOURS = 128
NO_DITHER = Image.Dither.NONE


def check_video_path(path: Path) -> None:
    """Refuse a file that can't be written as a video.

    Raises:
        InvalidOptionError: an unknown suffix, or no such folder.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidOptionError(f"--video {path}: the name must end in {' or '.join(SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise InvalidOptionError(f"--video {path}: there is no folder {path.absolute().parent}")


def film(recipe: EnvRecipe, policy: Policy, seeds: list[int], path: Path) -> list[Episode]:
    """Film one episode a seed into an mp4 or gif file, which appears whole.

    An environment that renders several pictures a step is shown in slow motion.

    Raises:
        InvalidOptionError: the path is none for a video, or the environment renders no pictures.
    """
    check_video_path(path)
    with closing(recipe.make(render_mode=_render_mode(recipe))) as env:
        reel = _Reel(env)
        episodes = []
        for number, seed in enumerate(seeds, start=1):
            reel.begin(f"episode {number}")
            episodes += play(env, policy, [seed], on_step=reel.shoot)
            reel.end(episodes[-1])
    temporary = path.with_name(f".{path.stem}-partial{path.suffix}")
    try:
        _write(temporary, reel.frames)
        os.replace(temporary, path)  # noqa: PTH105
    finally:
        temporary.unlink(missing_ok=True)
    return episodes


def _render_mode(recipe: EnvRecipe) -> str:
    with closing(recipe.make()) as env:
        offered = env.metadata.get("render_modes") or []
    for mode in ("rgb_array_list", "rgb_array"):
        if mode in offered:
            return mode
    raise InvalidOptionError(
        f"{recipe.id} can't be filmed: its render modes are {offered}, without rgb_array"
    )


class _Reel:
    """The pictures of several episodes, with captions."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self.frames: list[NDArray[np.uint8]] = []
        self._env = env
        per_step = env.metadata.get("frames_per_step", 1)
        speed = FRAME_RATE / (per_step * env.metadata.get("render_fps", FRAME_RATE))
        self._speed = "" if speed == 1 else f"  ({speed:.2g}x speed)"
        self._title = ""
        self._steps = 0
        self._last: NDArray[np.uint8] | None = None

    def begin(self, title: str) -> None:
        self._title = title
        self._steps = 0

    def shoot(self, seed: int) -> None:
        for picture in self._pictures():
            self._last = picture
            self.frames.append(
                _captioned(picture, f"{self._title}  step {self._steps}{self._speed}")
            )
        self._steps += 1

    def end(self, episode: Episode) -> None:
        assert self._last is not None
        result = f"return {episode.episode_return:.2f}"
        if episode.success is not None:
            result = f"{'success' if episode.success else 'no success'}, {result}"
        frame = _captioned(self._last, f"{self._title}  step {episode.length}: {result}")
        self.frames += [frame] * round(PAUSE * FRAME_RATE)

    def _pictures(self) -> Iterator[NDArray[np.uint8]]:
        rendered: Any = self._env.render()
        yield from rendered if isinstance(rendered, list) else [rendered]


def _captioned(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    if image.width > LARGEST_WIDTH:
        height = round(image.height * LARGEST_WIDTH / image.width)
        image = image.resize((LARGEST_WIDTH, height), Image.Resampling.LANCZOS)
    # Video codecs want even sizes.
    image = image.crop((0, 0, image.width - image.width % 2, image.height - image.height % 2))
    size = max(10, image.width // 32)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    draw.text((size, size // 2), text, (35, 40, 48), font, stroke_width=2, stroke_fill="white")
    return np.asarray(image)


def _write(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    if path.suffix == ".mp4":
        size = (frames[0].shape[1], frames[0].shape[0])
        writer = imageio_ffmpeg.write_frames(
            str(path), size, fps=FRAME_RATE, quality=8, macro_block_size=2
        )
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        return
    palette = Image.fromarray(frames[0]).quantize(GIF_COLOURS)
    images = [
        Image.fromarray(f).quantize(GIF_COLOURS, palette=palette, dither=NO_DITHER) for f in frames
    ]
    duration = 1000 // FRAME_RATE  # [ms]
    images[0].save(path, save_all=True, append_images=images[1:], duration=duration, loop=0)
