"""Runs programs, so many at a time, which end with this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from nondiff.experiments.stopping import Stop
from nondiff.files.safe_path import SafePath
from nondiff.processes.python_processes import module_command

LOOK_SECONDS = 0.05  # between looks at what has ended
GRACE_SECONDS = 20.0  # to end cleanly, then a process is killed
# Processes side by side that each take every core get into each other's way.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

T = TypeVar("T")


@dataclass(frozen=True)
class Job(Generic[T]):
    """A Python module to run.

    Args:
        of: what it is for.
        arguments: the module, whose `main` is run, and its arguments.
        log: the file to which what it prints is appended.
    """

    of: T
    arguments: Sequence[str]
    log: SafePath


def run_jobs(
    jobs: Sequence[Job[T]], at_once: int, ended: Callable[[Job[T], int], None], stop: Stop
) -> None:
    """Run jobs until all have ended.

    Args:
        jobs: in the order in which they start.
        at_once: how many run at a time.
        ended: called with a job and its exit code, negative where a signal killed it.
        stop: asked all the while.

    Raises:
        Interrupted: `stop` was asked for; what runs has been told to end, and has ended.
    """
    waiting, running = deque(jobs), list[tuple[Job[T], subprocess.Popen[bytes]]]()
    try:
        while waiting or running:
            stop.check()
            while waiting and len(running) < at_once:
                running.append((waiting[0], _start(waiting.popleft())))
            for job, process in [pair for pair in running if pair[1].poll() is not None]:
                running.remove((job, process))
                ended(job, process.returncode)
            time.sleep(LOOK_SECONDS)
    except BaseException:
        _end([process for _, process in running])
        raise


def _start(job: Job[T]) -> subprocess.Popen[bytes]:
    job.log.parent.make_folder()
    with job.log.open_to_append() as log:
        return subprocess.Popen(  # noqa: S603 - ourselves
            module_command(*job.arguments),
            env={**ONE_THREAD, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is passed on once, not twice
        )


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask processes to end, and kill those that do not."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
