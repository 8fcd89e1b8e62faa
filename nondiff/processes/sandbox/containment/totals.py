"""Measure what a program and its descendants use together, and compare it with the limits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nondiff.processes.sandbox.descendants import descendants
from nondiff.processes.sandbox.trees import Enough, measure_tree

PAUSE = 0.05  # [s] between measurements, at least
COST = 20.0  # minimum pause, as a multiple of the duration of a measurement
PAGE = os.sysconf("SC_PAGE_SIZE")
OWN_FILES = 64  # in the program's file system, made by the setup
SLACK_BYTES, SLACK_FILES = 1 << 20, 2 * OWN_FILES  # of its file system beyond the limits
THREADS, RESIDENT = 17, 21  # fields of /proc/PID/stat after the name


class Watch:
    """Measures a program from outside.

    Args:
        request: the limits "total_memory" and "total_size" [bytes], "files" and "processes".
        level: its level of containment.

    Attributes:
        init: PID of the init process, once it is known.
        pause: time until the next measurement [s].
    """

    def __init__(self, request: dict[str, Any], level: str) -> None:
        self._request, self.init = request, 0
        self._is_alone, self._has_segments = level == "sandbox", level in ("sandbox", "namespaces")
        self._proc: int | None = None  # descriptor of the /proc of the program's namespace
        self._given = (0, 0) if self._is_alone else measure_tree(self._folder, lambda *_: False)
        self.pause = PAUSE

    def excess(self) -> str | None:
        """Describe the limit that the program exceeds; None: it exceeds none."""
        begun = time.monotonic()
        if self._is_alone and self._proc is None:
            self._proc = own_proc(self.init)
            if self._proc is None:
                return None  # it has not started yet
        reason = self._used_too_much() or self.wrote_too_much()
        self.pause = max(PAUSE, COST * (time.monotonic() - begun))
        return reason

    def last_excess(self) -> str | None:
        """The same, called by init in the program's namespace after the program has ended."""
        self.init, self._proc = os.getpid(), os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        return self.excess()

    def _used_too_much(self) -> str | None:
        tasks = memory = 0
        numbers, most = self._numbers(), self._request["processes"]
        for number in (
            numbers if len(numbers) <= most else ()
        ):  # a fork bomb leaves no time to read each
            threads, resident = self._use(number)
            tasks, memory = tasks + threads, memory + resident
        if max(tasks, len(numbers)) > most:
            return too_many(self._request)
        limit = self._request["total_memory"]
        segments = _shared_segments() if self._has_segments else 0
        if segments > limit or (memory > limit and sum(map(self._share, numbers)) > limit):
            return f"it used more than {in_words(limit)} of memory in all"
        return None

    def wrote_too_much(self) -> str | None:
        """Describe the limit of files that the program exceeds; None: it exceeds none."""
        if self._is_alone:
            return excess_in_memory(self._request, f"/proc/{self.init}/cwd")
        return _beyond(self._request, self._measure_folder)

    @property
    def _folder(self) -> str:
        return str(self._request["folder"])

    def _measure_folder(self, is_enough: Enough) -> tuple[int, int]:
        """Measure what it has written to its folder: size [bytes] and number of files."""
        size, number = self._given
        found = measure_tree(
            self._folder, lambda bytes_, files: is_enough(bytes_ - size, files - number)
        )
        return found[0] - size, found[1] - number

    def _numbers(self) -> list[int]:
        """The PIDs of its processes."""
        if not self._is_alone:
            return descendants(self.init)
        names = os.listdir(self._proc)
        return [int(name) for name in names if name.isdigit() and name != "1"]

    def _use(self, number: int) -> tuple[int, int]:
        """Number of threads and resident memory [bytes] of a process, shared pages included."""
        fields = self._read(number, "stat").rpartition(b")")[2].split()
        return (int(fields[THREADS]), int(fields[RESIDENT]) * PAGE) if fields else (0, 0)

    def _share(self, number: int) -> int:
        """Proportional memory (PSS) of a process [bytes], which divides shared pages by sharers."""
        for line in self._read(number, "smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) << 10
        return self._use(number)[1]

    def _read(self, number: int, name: str) -> bytes:
        with suppress(OSError):
            path = f"{number}/{name}" if self._is_alone else f"/proc/{number}/{name}"
            file = os.open(path, os.O_RDONLY, dir_fd=self._proc)
            try:
                return b"".join(iter(lambda: os.read(file, 4096), b""))
            finally:
                os.close(file)
        return b""


def too_many(request: dict[str, Any]) -> str:
    """Describe an exceeded limit of processes."""
    return f"it ran more than {request['processes']:,} processes and threads at once"


def own_proc(init: int) -> int | None:
    """Open the /proc of the program's namespace; None: it is not mounted yet."""
    with suppress(OSError):
        number = os.open(f"/proc/{init}/root/proc", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.readlink("self", dir_fd=number)
        except FileNotFoundError:  # since this process is not in that namespace
            return number
        os.close(number)
    return None


def excess_in_memory(request: dict[str, Any], folder: str) -> str | None:
    """Describe the limit that a program's files in its own file system exceed."""
    with suppress(OSError):
        found = os.statvfs(folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        files = found.f_files - found.f_ffree - OWN_FILES
        return _beyond(request, lambda _: (used, files))
    return None


def _beyond(
    request: dict[str, Any],
    measure: Callable[[Enough], tuple[int, int]],
) -> str | None:
    """Describe the limit of files that a measurement exceeds; None: it exceeds none."""
    size_limit, files_limit = request["total_size"], request["files"]
    size, files = measure(lambda size, files: size > size_limit or files > files_limit)
    if size > size_limit:
        return f"its files took more than {in_words(size_limit)} in all"
    return f"it had more than {files_limit:,} files" if files > files_limit else None


def in_words(size: int) -> str:
    """Format a number of bytes, such as "2 GiB"."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"


def _shared_segments() -> int:
    """Memory of the System V segments of this namespace [bytes]."""
    with suppress(OSError), open("/proc/sysvipc/shm") as file:
        header, *lines = file.read().splitlines()
        column = header.split().index("rss")
        return sum(int(line.split()[column]) for line in lines)
    return 0
