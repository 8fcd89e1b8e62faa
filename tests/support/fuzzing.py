"""Commands run as a fuzzer runs them: what they come to, and what they leave on disk."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar
from unittest.mock import patch

from canary import content, remove
from conftest import Answer
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from nondiff.experiments.commands.cli import main

PATIENCE = 120  # [s], for any one command
FOLDER = "folder"
BOX = "╭"  # begins what the parser of command lines says of a line that it can't take
T = TypeVar("T")

# The same examples at every default run; those of the long one are new each time.
SHORT = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(SHORT, max_examples=1_500, derandomize=False)


def fuzz(check: Callable[[T], None], examples: SearchStrategy[T], how: settings) -> None:
    """Check many examples, and show the simplest one that fails."""
    how(given(examples)(check))()


class TookForever(BaseException):
    """No command catches it."""


def nondiff(home: Path, *arguments: object) -> Answer:
    """Run `nondiff ARGUMENTS` in this process with `home` as working directory.

    The streams are as strict as a terminal's: what can't be encoded can't be printed. Warnings are
    what a user's are, not errors: an example may well deserve one.
    """
    line = [str(argument) for argument in arguments]
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True)
    with (
        _inside(home),
        _limited(line),
        patch.object(sys, "argv", ["nondiff", *line]),
        redirect_stdout(out),
        redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        code: object = None
        try:
            main()
        except SystemExit as end:
            code = end.code
    return Answer(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


@contextmanager
def _inside(home: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(home)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _limited(line: list[str]) -> Iterator[None]:
    def expire(signum: int, frame: FrameType | None) -> None:
        raise TookForever(f"more than {PATIENCE} s: {line}")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check_answer(answer: Answer) -> None:
    """A command ends with 0, 1 or 2, shows no traceback, and says in a line what it refuses.

    An environment of somebody else that raised is shown with its traceback, before that line.
    """
    assert answer.code in (0, 1, 2), answer
    if answer.code == 2:
        *before, last = answer.err.rstrip("\n").split("\n")
        assert last.startswith("error: ") or BOX in answer.err, answer.err
        assert "Traceback" not in answer.err or " raised " in last, answer.err
        assert not any(text.startswith("error: ") for text in before), answer.err
    else:
        assert "Traceback" not in answer.err, answer.err
        assert "error: " not in answer.err, answer.err


Picture = dict[str, str]


def picture(folder: Path) -> Picture:
    """What lies in a folder, by its place in it; locks that hold nothing are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        there = _content(path)
        if (path.name, there) != (".lock", _digest(b"")):
            found[str(path.relative_to(folder))] = there
    return found


def _content(path: Path) -> str:
    status = path.lstat()
    return FOLDER if stat.S_ISDIR(status.st_mode) else content(path, status)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Sandbox:
    """A folder that is as it was at the beginning of every example.

    Args:
        model: the folder to begin with, which nothing changes.
        folder: where its copy is put.
    """

    def __init__(self, model: Path, folder: Path) -> None:
        self._model = model
        self.folder = folder
        shutil.copytree(model, folder, symlinks=True)
        self.before = picture(folder)

    @contextmanager
    def example(self) -> Iterator[Path]:
        """One example, after which the folder is restored."""
        try:
            yield self.folder
        finally:
            self._restore(self.changed())

    def changed(self) -> list[str]:
        """The places that an example has changed so far."""
        after = picture(self.folder)
        places = sorted({*self.before, *after})
        return [place for place in places if self.before.get(place) != after.get(place)]

    def _restore(self, places: list[str]) -> None:
        for place in places:  # a folder, or what stands for it now, before what was in it
            remove(self.folder / place)
        for place in places:
            if self.before.get(place) == FOLDER:
                (self.folder / place).mkdir()
            elif place in self.before:
                shutil.copy2(self._model / place, self.folder / place, follow_symlinks=False)


def tiny(folder: Path, env_id: str, *options: Any) -> None:
    """Train a run that is small in everything, with several checkpoints and models."""
    few = ("--eval-episodes", 1, "--confirm-episodes", 1, "--judge-episodes", 1)
    every = ("--budget", 32, "--eval-every", 8, "--checkpoint-every", 8)
    place = ("--runs", folder.parent, "--name", folder.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    answer = nondiff(folder.parent, "train", "--env", env_id, *every, *few, *place, *options)
    assert answer.code == 0, answer.err
