"""CPU time of this process, of its workers, and of the programs that it runs as simulators."""

from __future__ import annotations

import threading
import time

_lock = threading.Lock()
_of_others = 0.0


def add(seconds: float) -> None:
    """Note the CPU time of a program or a worker that this process has run, in seconds."""
    global _of_others
    with _lock:
        _of_others += seconds


def cpu_seconds() -> float:
    """CPU time so far of this process, and of what it has noted, in seconds."""
    return time.process_time() + _of_others
