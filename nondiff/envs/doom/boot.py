"""Runs the game's engine, tied to the process that wants it; a program, not a module.

Usage: boot.py ENGINE OWNER ARGUMENTS..., in a private folder, where a file says which process the
engine is. Run by a bare interpreter, it imports the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

INSTANCE_FILE = "instance"  # holds what the names of the shared memory end with
ENGINE_FILE = "engine"  # holds the numbers of both processes
FAILED_FILE = "failed"  # is there if the engine ended before its start was over
CANCELLED_FILE = "cancelled"  # is there if nobody waits for the start any more
_PR_SET_PDEATHSIG = 1


def main(engine: str, owner: str, *arguments: str) -> None:
    """Run the engine until it ends, or its owner does.

    ViZDoom crashes the process that it runs in if the engine ends while it starts. So this does not
    end before it is told, by SIGUSR1, that the start is over; and tells the owner by a file.
    """
    os.setpgid(0, 0)  # hears no Ctrl-C that is meant for its owner
    _end_with(int(owner))
    instance = arguments[arguments.index("+viz_instance_id") + 1]
    Path(INSTANCE_FILE).write_text(instance)
    supervisor = os.getpid()
    child = os.fork()
    if child == 0:
        _end_with(supervisor)
        if Path(CANCELLED_FILE).exists():
            os._exit(1)
        Path(ENGINE_FILE).write_text(f"{os.getpid()} {supervisor}")
        os.execv(engine, [engine, *arguments])  # noqa: S606
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    os.waitpid(child, 0)
    with suppress(OSError):  # the folder is gone once the start is over
        Path(FAILED_FILE).touch()
    signal.sigwait({signal.SIGUSR1})


def _end_with(parent: int) -> None:
    # An engine ignores SIGTERM and would outlive its owner. The kernel sends this signal when the
    # *thread* that started it ends: ViZDoom's own, which lives until this process ends.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
