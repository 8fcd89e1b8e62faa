"""The processors there are to share work among."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_apart(pids: Sequence[int]) -> None:
    """Give each of these processes its own share of the processors that this one may use.

    For those that wait for each other: the scheduler may wake two of them on one processor and
    leave another idle, or push aside the process that wakes them before it has woken them all.
    Nothing happens where there are fewer processors than processes, or where the system does not
    let them be chosen.
    """
    if sys.platform != "linux":
        return
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < len(pids):
        return
    for index, pid in enumerate(pids):
        with contextlib.suppress(OSError):  # if it is gone, whoever waits for it will notice
            os.sched_setaffinity(pid, mine[index :: len(pids)])
            if os.sched_getscheduler(pid) == os.SCHED_OTHER:  # the user has chosen no other
                os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
