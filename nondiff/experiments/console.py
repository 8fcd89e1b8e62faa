"""What a command prints: all of it passes through these functions."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from nondiff.envs.errors import RunError
from nondiff.experiments.streams import GONE, answers

# Columns. Tables and help need some; where a terminal says that it has fewer, their lines are
# broken by it. More than a wall of screens has, and whatever pads its lines takes all memory.
MIN_WIDTH, DEFAULT_WIDTH, MAX_WIDTH = 40, 80, 500
CELL_WIDTH = 6  # columns of a table's column; where there are fewer, nothing is left of a text
HEIGHT = 25  # lines, of which nothing depends
DUMB = ("", "dumb", "unknown")  # terminals that understand no escape codes


class OutputClosed(Exception):  # noqa: N818
    """Whoever read standard output has ended, as in `nondiff runs | head -1`."""


def out(text: str, end: str = "\n") -> None:
    """Print a part of the command's answer to standard output.

    Raises:
        OutputClosed: nobody reads it any more.
        RunError: it can't be written.
    """
    try:
        stream = answers()
        encoding = stream.encoding or "utf-8"
        stream.write((text + end).encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        if error.errno in GONE:
            raise OutputClosed from error
        raise RunError(f"standard output can't be written: {error.strerror}") from error


def out_json(data: Any) -> None:
    """Print the command's answer as JSON, which has no word for NaN and infinities but null."""
    out(json.dumps(_finite(data), indent=1, allow_nan=False))


def out_table(table: Table, file_width: int = 120) -> None:
    """Print a table as wide as the terminal is, or `file_width` where there is none."""
    page = Page(answers())
    width = terminal_width(answers()) if answers().isatty() else file_width
    _console(page, max(width, CELL_WIDTH * len(table.columns))).print(table)
    out(page.getvalue(), end="")


def err(text: str, end: str = "\n") -> None:
    """Print a message to the error output."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


def error_console() -> Console:
    """A console on the error output, for a progress bar."""
    return _console(None, terminal_width(sys.stderr))


def is_plain(stream: TextIO) -> bool:
    """Whether a stream is to get no escape codes.

    That is so if it is no terminal, or the user asked for none (no-color.org).
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "").lower() in DUMB:
        return True
    return not stream.isatty()


def terminal_width(stream: TextIO) -> int:
    """How many columns to print to, of COLUMNS, or else of the terminal."""
    return min(max(MIN_WIDTH, said_width(stream)), MAX_WIDTH)


def said_width(stream: TextIO) -> int:
    """How many columns the user or the terminal says there are."""
    said = os.environ.get("COLUMNS", "")
    columns = int(said.lstrip("0")[:9] or 0) if said.isascii() and said.isdigit() else 0
    if not columns:
        try:
            columns = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
    return columns or DEFAULT_WIDTH


class Page(io.StringIO):
    """A text that is made for a stream, and written to it in one piece."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._plain = is_plain(stream)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream, which says whether there are lines to draw boxes with."""
        return self._encoding

    def isatty(self) -> bool:
        """Whether the stream is a terminal that gets escape codes."""
        return not self._plain


def _console(file: Page | None, width: int) -> Console:
    plain = is_plain(sys.stderr) if file is None else not file.isatty()
    return Console(
        file=file,
        stderr=file is None,
        width=width,
        height=HEIGHT,
        force_terminal=not plain,
        force_jupyter=False,
        color_system=None if plain else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
