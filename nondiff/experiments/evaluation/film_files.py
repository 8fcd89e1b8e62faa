"""The files that films are written to."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nondiff.errors import MissingDependencyError, RunError

FRAME_RATE = 25  # [Hz]
CONSTANT_RATE_FACTOR = 10  # of H.264: less is better, and 18 hard to tell from the original
COVERAGE = Image.Quantize.MAXCOVERAGE  # keeps the colour of small things
NO_DITHER = Image.Dither.NONE

Picture = NDArray[np.uint8]


def find_ffmpeg() -> str:
    """The program that writes mp4 files.

    Raises:
        MissingDependencyError: there is none.
    """
    try:
        found: str | None = shutil.which(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        found = None
    if found is None:
        raise MissingDependencyError(
            "mp4 files need ffmpeg, which is not found: install it, or set IMAGEIO_FFMPEG_EXE to "
            "it, or choose a name that ends in .gif"
        )
    return found


class Mp4:
    """Writes pictures of one size, whose sides are even, into an mp4 file.

    Raises:
        MissingDependencyError: there is no ffmpeg.
        RunError: ffmpeg failed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._program = find_ffmpeg()
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end

    def __enter__(self) -> Mp4:
        return self

    def append(self, frame: Picture) -> None:
        """Add a picture."""
        if self._process is None:
            self._process = self._start(frame.shape[1], frame.shape[0])
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(frame).data)
        except OSError:
            self._finish()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._errors:
            if self._process is None:
                return
            if kind is None:
                self._finish()
            else:
                self._process.kill()
                self._process.communicate()

    def _start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        given = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}")
        wanted = ("-an", "-pix_fmt", "yuv420p", "-crf", str(CONSTANT_RATE_FACTOR))
        return subprocess.Popen(  # noqa: S603
            [
                *(self._program, "-v", "error", "-y", *given, "-r", str(FRAME_RATE), "-i", "-"),
                *(*wanted, f"file:{self._path}"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is ours to hear
        )

    def _finish(self) -> None:
        """End the file, or say why it can't be."""
        assert self._process is not None
        try:
            self._process.communicate()
        except OSError:  # it does not read any more
            self._process.wait()
        if self._process.returncode or not self._path.is_file():
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").split("\n")
            last = next((line for line in reversed(said) if line.strip()), "it says nothing")
            code = self._process.returncode
            raise RunError(f"the film can't be written: ffmpeg ended with {code}: {last.strip()}")


class Gif:
    """Writes pictures of one size into a gif file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._images: list[Image.Image] = []

    def __enter__(self) -> Gif:
        return self

    def append(self, frame: Picture) -> None:
        """Add a picture."""
        self._images.append(Image.fromarray(frame).quantize(method=COVERAGE, dither=NO_DITHER))

    def __exit__(self, kind: type[BaseException] | None, *others: Any) -> None:
        if kind is None and self._images:
            first, *rest = self._images
            duration = 1000 // FRAME_RATE  # [ms]
            first.save(self._path, save_all=True, append_images=rest, duration=duration, loop=0)
