"""List the descendants of a process, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from nondiff.processes.sandbox.containment.kernel import LINUX


def descendants(root: int) -> list[int]:
    """The PIDs of all descendants of a process, nearest first; [] on systems other than Linux."""
    if not LINUX:
        return []
    children: dict[int, list[int]] = {}
    for process, parent in _processes():
        children.setdefault(parent, []).append(process)
    found = [*children.get(root, [])]
    for process in found:  # the list grows during the loop
        found += children.get(process, [])
    return found


def _processes() -> Iterator[tuple[int, int]]:
    """Yield the PID and the parent's PID of each process of this system."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                after_name = file.read().rpartition(b")")[2].split()
                yield int(name), int(after_name[1])
