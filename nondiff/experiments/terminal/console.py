"""What a command prints: all of it passes through these functions.

None prints what a terminal would obey, of a text that was not made here: see `nondiff.text`.
"""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nondiff.errors import RunError
from nondiff.experiments.terminal.streams import GONE, answers
from nondiff.text import json_text, visible, without_non_finite

# Columns. Tables and help need some; where a terminal says that it has fewer, their lines are
# broken by it. More than a wall of screens has, and whatever pads its lines takes all memory.
MIN_WIDTH, DEFAULT_WIDTH, MAX_WIDTH = 40, 80, 500
CELL_WIDTH = 6  # columns of a table's column; where there are fewer, nothing is left of a text
HEIGHT = 25  # lines, of which nothing depends
TAB = "\t"  # which a line may have
COLOURS = re.compile("(\x1b\\[[0-9;]*m)")  # and other looks of letters
DUMB = ("", "dumb", "unknown")  # terminals that understand no escape codes


class OutputClosed(Exception):  # noqa: N818
    """Whoever read standard output has ended, as in `nondiff runs | head -1`."""


def out(*lines: str) -> None:
    """Print lines of the command's answer to standard output, each of which stays one.

    Raises:
        OutputClosed: nobody reads it any more.
        RunError: it can't be written.
    """
    _write(_joined(lines))


def out_page(page: Page) -> None:
    """Print a page that was made for standard output, its colours as they are; like `out`."""
    _write(page.shown())


def _write(text: str) -> None:
    """Write to standard output.

    Raises:
        OutputClosed: nobody reads it any more.
        RunError: it can't be written.
    """
    try:
        stream = answers()
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        if error.errno in GONE:
            raise OutputClosed from error
        raise RunError(f"standard output can't be written: {error.strerror}") from error


def out_json(data: Any) -> None:
    """Print the command's answer as JSON, which has no word for NaN and infinities but null."""
    _write(json_text(without_non_finite(data)) + "\n")


def out_table(table: Table, file_width: int = 120) -> None:
    """Print a table as wide as the terminal is, or `file_width` where there is none."""
    page = Page(answers())
    width = terminal_width(answers()) if answers().isatty() else file_width
    _console(page, max(width, CELL_WIDTH * len(table.columns))).print(table)
    out_page(page)


def err(*lines: str) -> None:
    """Print lines of a message to the error output, each of which stays one."""
    sys.stderr.write(_joined(lines))
    sys.stderr.flush()


def err_page(page: Page) -> None:
    """Print a page that was made for the error output, its colours as they are."""
    sys.stderr.write(page.shown())
    sys.stderr.flush()


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{visible(line, keep=TAB)}\n" for line in lines)


def show_warnings_plainly() -> None:
    """Let Python's warnings, whoever gives them, hold nothing that a terminal obeys.

    Gymnasium colours its own, also where no terminal is.
    """
    usual = warnings.formatwarning

    def plain(*parts: Any, **more: Any) -> str:
        return visible(COLOURS.sub("", usual(*parts, **more)), keep="\n\t")

    warnings.formatwarning = plain


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

    def shown(self) -> str:
        """All of it, without what a terminal obeys but ends of lines and colours."""
        parts = COLOURS.split(self.getvalue())
        parts[::2] = [visible(part, keep="\n") for part in parts[::2]]
        return "".join(parts)


class _Console(Console):
    """One that shows a `str` as it is in one line, such as a cell; a `Text` was made here."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


def _console(file: Page | None, width: int) -> Console:
    plain = is_plain(sys.stderr) if file is None else not file.isatty()
    return _Console(
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
