"""Files without a name, for what programs read and write."""

from __future__ import annotations

import codecs
import fcntl
import os
import tempfile

TAIL_BYTES = 1 << 16  # of an error output that are looked at


class Scratch:
    """A file in memory, or where there is none such a nameless one on disk.

    Args:
        text: what it holds at first.

    Attributes:
        number: its descriptor, for a program, which writes at its end.
    """

    def __init__(self, text: str = "") -> None:
        try:
            self.number = os.memfd_create("nondiff")
        except (AttributeError, OSError):  # as within a sandbox
            with tempfile.TemporaryFile() as file:
                self.number = os.dup(file.fileno())
        os.pwrite(self.number, text.encode(), 0)
        fcntl.fcntl(self.number, fcntl.F_SETFL, os.O_APPEND)

    def text(self) -> str:
        """All of it."""
        return self._read(0)

    def tail(self) -> str:
        """Its end."""
        return self._read(max(0, os.fstat(self.number).st_size - TAIL_BYTES))

    def clear(self) -> None:
        """Empty it."""
        os.ftruncate(self.number, 0)

    def close(self) -> None:
        """Give its room back, once no program has it open either."""
        os.close(self.number)

    def _read(self, start: int) -> str:
        size = os.fstat(self.number).st_size - start
        parts = []
        while size > 0 and (part := os.pread(self.number, size, start)):
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return decoded(b"".join(parts))


def decoded(data: bytes) -> str:
    """The text that a program wrote: UTF-8, or what its byte order mark says; else U+FFFD."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")
