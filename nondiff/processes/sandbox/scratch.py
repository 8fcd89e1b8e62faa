"""Nameless files for the standard streams of programs."""

from __future__ import annotations

import codecs
import fcntl
import os
import tempfile

TAIL_BYTES = 1 << 16  # of a stream that `tail` reads


class Scratch:
    """A file in memory, or a nameless one on disk if the system has no memory files.

    Args:
        text: initial content.

    Attributes:
        number: the descriptor to hand to a program; writes are appended.
    """

    def __init__(self, text: str = "") -> None:
        try:
            self.number = os.memfd_create("nondiff")
        except (AttributeError, OSError):  # such as inside a sandbox
            with tempfile.TemporaryFile() as file:
                self.number = os.dup(file.fileno())
        os.pwrite(self.number, text.encode(), 0)
        fcntl.fcntl(self.number, fcntl.F_SETFL, os.O_APPEND)

    def text(self) -> str:
        """Read the whole content."""
        return self._read(0)

    def tail(self) -> str:
        """Read the last `TAIL_BYTES`."""
        return self._read(max(0, os.fstat(self.number).st_size - TAIL_BYTES))

    def clear(self) -> None:
        """Delete the content."""
        os.ftruncate(self.number, 0)

    def close(self) -> None:
        """Close the descriptor; the file is freed once no program has it open."""
        os.close(self.number)

    def _read(self, start: int) -> str:
        size = os.fstat(self.number).st_size - start
        parts = []
        while size > 0 and (part := os.pread(self.number, size, start)):
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return decoded(b"".join(parts))


def decoded(data: bytes) -> str:
    """Decode as UTF-8, or as UTF-16 with a byte order mark; invalid bytes become U+FFFD."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")
