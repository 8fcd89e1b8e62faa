"""Run the game's engine such that it ends with the process that owns it; a program, not a module.

Usage: boot.py ENGINE OWNER ARGUMENTS..., in a private folder, where it writes the engine's PID to a
file. It runs in a bare interpreter and imports the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

INSTANCE_FILE = "instance"  # holds the suffix of the names of the shared memory
ENGINE_FILE = "engine"  # holds the PIDs of the engine and of this process, its supervisor
FAILED_FILE = "failed"  # exists if the engine ended during its start
CANCELLED_FILE = "cancelled"  # exists if the owner has given up the start
_PR_SET_PDEATHSIG = 1


def main(engine: str, owner: str, *arguments: str) -> None:
    """Run the engine until it or its owner ends.

    ViZDoom crashes the owner if the process that it starts ends too soon. So this process does not
    end before the owner sends SIGUSR1, after the start. A file tells the owner of a failed start.
    """
    os.setpgid(0, 0)  # not reached by Ctrl-C, which is meant for the owner
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
