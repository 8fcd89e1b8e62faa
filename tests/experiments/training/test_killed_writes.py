"""A run that was killed before any one of its changes of the disk goes on to the same bits.

The process kills itself: Python reports what it is about to open, rename and remove.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from processes import FORKS, PATIENCE, PENDULUM, bits, leftovers, train_here, trained_once

from nondiff.experiments.run.folder import Run

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
STRIDE = 3  # of the changes that the slow test tries


def is_change(event: str, arguments: Any, root: str) -> bool:
    """Whether Python is about to change something in a folder."""
    if event == "open":
        path, _, flags = arguments
        is_inside = str(path).startswith(root) or not str(path).startswith("/")  # of a descriptor
        return is_inside and bool(flags & (os.O_WRONLY | os.O_RDWR))
    return event in CHANGES  # a folder is removed by names that are relative to it


def train_until(number: int, root: str, arguments: tuple[object, ...]) -> None:
    """Train in a process of its own, which ends before its change of this number."""
    changes = itertools.count(1)

    def look(event: str, details: Any) -> None:
        if is_change(event, details, root) and next(changes) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    sys.exit(train_here(*arguments))


def killed(number: int, root: Path, *arguments: object) -> bool:
    """Train, and kill the training before a change; returns whether there were so many."""
    process = FORKS.Process(target=train_until, args=(number, str(root), arguments))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode in (-9, 0)
    return process.exitcode == -9


def start(root: Path) -> tuple[object, ...]:
    return (*PENDULUM, "--runs", root, "--name", "run")


def check_whole(root: Path, command: Command) -> None:
    """Assert that what a kill left can be gone on with, or begun again, to the bits of a whole."""
    folder = root / "run"
    if not folder.exists():
        assert [path.name[:5] for path in root.glob("*")] in ([], [".new-"])
        answer = command("train", *start(root))
    elif Run.open(folder).status() != "finished":
        answer = command("train", "--resume", folder)
    else:
        answer = None
    assert answer is None or answer.code == 0, answer.err
    assert leftovers(folder) == []
    assert bits(folder) == trained_once(*PENDULUM)


@pytest.mark.thorough
@pytest.mark.parametrize("number", [2, 75])
def test_killed_before_a_change(number: int, tmp_path: Path, command: Command) -> None:
    root = tmp_path / "runs"
    assert killed(number, root, *start(root))
    check_whole(root, command)


@pytest.mark.thorough
def test_killed_again_as_it_goes_on(tmp_path: Path, command: Command) -> None:
    root = tmp_path / "runs"
    assert killed(60, root, *start(root))
    for number in (3, 25):
        assert killed(number, root, "--resume", root / "run")
    check_whole(root, command)


def numbers(root: Path) -> Iterator[int]:
    """Numbers of changes, until a training makes less."""
    for number in itertools.count(1, STRIDE):
        if not killed(number, root / f"{number}", *start(root / f"{number}")):
            return
        yield number


@pytest.mark.slow
def test_killed_before_every_change(tmp_path: Path, command: Command) -> None:
    tried = 0
    for number in numbers(tmp_path):
        check_whole(tmp_path / f"{number}", command)
        tried += 1
    assert tried >= 30
