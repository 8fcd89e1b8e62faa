"""Trainings that die at a chosen change of the disk, whether it opens, writes, syncs or renames."""

from __future__ import annotations

import errno
import io
import itertools
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from processes import FORKS, PATIENCE, train_here
from suited import suited

from nondiff.agents import find_strategy

CHANGES = (
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    "os.chmod",
)
# Of whatever strategy has such a hyperparameter.
SMALL: dict[str, object] = {
    **{"net_arch": 4, "n_steps": 10, "batch_size": 10, "n_epochs": 1, "learning_starts": 10},
    **{"population": 4, "episodes": 1, "rounds": 2, "surrogate_steps": 4, "policy_steps": 4},
    **{"final_policy_steps": 4, "surrogate_net_arch": 4},
}
Die = Callable[[Callable[[], object]], None]  # takes what cuts off the write under way


def arguments(strategy: str) -> tuple[object, ...]:
    """Options of a short training with a few evaluations and checkpoints, some at the same step."""
    names = {field.name for field in fields(find_strategy(strategy))}
    chosen = [(f"--{name.replace('_', '-')}", SMALL[name]) for name in SMALL if name in names]
    return (
        *("--env", suited(strategy, "small_boxes:Bowl-v0"), "--strategy", strategy, "--seed", 3),
        *("--budget", 60, "--checkpoint-every", 20, "--eval-every", 20),
        *("--eval-episodes", 2, "--confirm-episodes", 2, "--judge-episodes", 2),
        *itertools.chain.from_iterable(chosen),
    )


class Tear(io.FileIO):
    """A file of which a write may be cut after half of the data."""

    look: Callable[[Callable[[], object]], None]

    def write(self, data: Any) -> int:
        half = bytes(data)[: len(data) // 2]
        Tear.look(lambda: super(Tear, self).write(half))
        return super().write(data)


def watch(number: int, root: str, die: Die) -> None:
    """Call `die` before the change of this number, from now on in this process."""
    changes = itertools.count(1)

    def look(cut: Callable[[], object] = nothing) -> None:
        if next(changes) == number:
            die(cut)

    def audit(event: str, details: Any) -> None:
        if event in CHANGES:
            look()
        elif event == "open" and isinstance(details[2], int):
            path, flags = str(details[0]), details[2]
            inside = path.startswith(root) or not path.startswith("/")  # of a descriptor
            if inside and flags & (os.O_WRONLY | os.O_RDWR):
                look()

    opened, synced = os.fdopen, os.fsync

    def fdopen(descriptor: int, mode: str = "r", buffering: int = -1, **options: Any) -> Any:
        if mode not in ("wb", "ab"):
            return opened(descriptor, mode, buffering, **options)
        raw = Tear(descriptor, mode)
        return raw if buffering == 0 else io.BufferedWriter(raw)

    def fsync(descriptor: int) -> None:
        look()
        synced(descriptor)

    Tear.look = staticmethod(look)  # type: ignore[assignment]
    os.fdopen, os.fsync = fdopen, fsync
    sys.addaudithook(audit)


def nothing() -> None:
    """No write is under way."""


def kill(cut: Callable[[], object] = nothing) -> None:
    """End this process as a power switch does."""
    cut()
    os.kill(os.getpid(), signal.SIGKILL)


def fill_the_disk(cut: Callable[[], object]) -> None:
    """Fail as on a full disk."""
    cut()
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def press_ctrl_c(cut: Callable[[], object]) -> None:
    """Ask this process to end; a write under way is finished first."""
    os.kill(os.getpid(), signal.SIGINT)


def _train(number: int, root: str, die: Die, options: tuple[object, ...]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    watch(number, root, die)
    sys.exit(train_here(*options))  # type: ignore[arg-type]


def train_until(number: int, die: Die, root: Path, *options: object) -> int | None:
    """Train in a process that meets `die` at a change; returns its exit code."""
    process = FORKS.Process(target=_train, args=(number, str(root), die, options))
    process.start()
    process.join(PATIENCE)
    return process.exitcode


def _evaluate_until(number: int, options: tuple[object, ...]) -> None:
    from nondiff.experiments.training import monitor

    evaluations, play = itertools.count(1), monitor.play

    def look(*given: Any, **named: Any) -> Any:
        if next(evaluations) == number:
            kill()
        return play(*given, **named)

    monitor.play = look
    sys.exit(train_here(*options))  # type: ignore[arg-type]


def train_until_evaluation(number: int, *options: object) -> int | None:
    """Train in a process that is killed as this evaluation begins; returns its exit code."""
    process = FORKS.Process(target=_evaluate_until, args=(number, options))
    process.start()
    process.join(PATIENCE)
    return process.exitcode
