"""CPU time of this process, of its workers, and of the programs that it runs as simulators."""

from __future__ import annotations

import threading
import time

_lock = threading.Lock()
_of_others = 0.0


def add(seconds: float) -> None:
    """Add the CPU time of a program or a worker of this process [s]."""
    global _of_others
    with _lock:
        _of_others += seconds


def cpu_seconds() -> float:
    """CPU time so far of this process and of what `add` counted [s]."""
    return time.process_time() + _of_others
