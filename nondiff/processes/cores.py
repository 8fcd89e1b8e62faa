"""The CPU cores available to this process, and how worker processes share them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence


def processors() -> int:
    """The number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pin_to_separate_cores(pids: Sequence[int]) -> None:
    """Pin each of these processes to its own share of the cores that this process may use.

    This helps processes that wait for each other: otherwise the scheduler may wake two of them on
    one core and leave another idle, or preempt the process that wakes them before it has woken them
    all. Does nothing if there are fewer cores than processes, or on systems other than Linux.
    """
    if sys.platform != "linux":
        return
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < len(pids):
        return
    for index, pid in enumerate(pids):
        with contextlib.suppress(OSError):  # if the process is gone, its client will notice
            os.sched_setaffinity(pid, mine[index :: len(pids)])
            if (
                os.sched_getscheduler(pid) == os.SCHED_OTHER
            ):  # unless the user has chosen another policy
                os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
