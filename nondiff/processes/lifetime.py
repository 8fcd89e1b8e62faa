"""End a process and its descendants together with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

import psutil

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOOK_SECONDS = 1.0  # [s] between checks of the parent


def kill_descendants(root: psutil.Process) -> None:
    """Kill all descendants of a process."""
    for descendant in root.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            descendant.kill()


def end_with_parent(parent: int, by_kernel: bool = True) -> None:
    """End this process and its descendants once its parent has ended.

    Args:
        parent: PID of the process that started this one.
        by_kernel: whether the kernel should do it, which ends even a process that hangs in C code.
            The kernel acts when the *thread* that started this process ends, so the parent's main
            thread must have started it.
    """
    if sys.platform == "linux" and by_kernel:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    kill_descendants(psutil.Process())
    os._exit(1)
