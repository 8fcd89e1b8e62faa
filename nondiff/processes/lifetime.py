"""Ends this process when the one that started it has ended, and all that it has started."""

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
LOOK_SECONDS = 1.0


def kill_descendants(root: psutil.Process) -> None:
    """Kill what a process has started, and what that has started."""
    for descendant in root.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            descendant.kill()


def end_with_parent(parent: int, by_kernel: bool = True) -> None:
    """End this process, and what it has started, once its parent has ended.

    Args:
        parent: number of the process that started this one.
        by_kernel: whether the parent's main thread did: the kernel, which ends even a process that
            hangs in C code, does so when the *thread* that started it ends.
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
