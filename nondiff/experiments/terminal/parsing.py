"""Parses command lines: tyro, imported for it here alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from nondiff.experiments.terminal.console import Page, err_page, out_page, terminal_width
from nondiff.experiments.terminal.streams import answers

T = TypeVar("T")
AnyPath = Annotated[Path | str, tyro.conf.arg(metavar="PATH")]  # from Python, a string will do


def parse_options(kind: type[T], arguments: list[str], prog: str, **more: Any) -> T:
    """Parse a command line into a dataclass; a wrong one, and `--help`, end the process.

    Args:
        kind: the dataclass.
        arguments: of the command line, without the program.
        prog: how the user calls the command.
        more: for `tyro.cli`.
    """
    with _printed():
        parsed: T = tyro.cli(kind, args=arguments, prog=prog, **more)
    return parsed


def parse_known_options(kind: type[T], arguments: list[str], prog: str) -> tuple[T, list[str]]:
    """The same, and the arguments that are no options of the dataclass."""
    with _printed():
        return tyro.cli(kind, args=arguments, prog=prog, return_unknown_args=True)


@contextmanager
def _printed() -> Iterator[None]:
    """Print what tyro does as everything else is printed."""
    help_page, errors = Page(answers()), Page(sys.stderr)
    try:
        with _usual_width(), redirect_stdout(help_page), redirect_stderr(errors):
            yield
    except SystemExit:
        out_page(help_page)
        err_page(errors)
        raise


@contextmanager
def _usual_width() -> Iterator[None]:
    """Say a width that tyro can lay out: it never ends at a few columns, and pads to millions."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(terminal_width(answers()))
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
