"""Text that was not made here, such that it is seen as it is and does nothing.

A terminal obeys escape codes, and bidirectional controls let a name look like another. A renderer
of Markdown obeys HTML and links.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_SHOWN = 4_000  # characters of a message
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ .,/:=+()-]*")  # nothing in it is Markdown


def visible(text: object, keep: str = "") -> str:
    r"""A text whose control characters are written as escapes: `\x1b`, `\n`, `\u202e`.

    That goes for all that Unicode calls unprintable: also what changes the direction of writing or
    has no width, line ends, and halves of surrogate pairs.

    Args:
        text: any object, as `str` gives it.
        keep: characters that are left as they are.
    """
    found = str(text)
    if found.isprintable():
        return found
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in found)


def shortened(text: object) -> str:
    """A text without its middle, where it is longer than anybody reads."""
    found = str(text)
    if len(found) <= MAX_SHOWN:
        return found
    ends = MAX_SHOWN // 2
    return f"{found[:ends]} ... {found[-ends:]}"


def cut(text: str, length: int) -> str:
    """The beginning of a text that is longer than a message quotes."""
    return text if len(text) <= length else f"{text[:length]}..."


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def markdown(text: object, cell: bool = False) -> str:
    """A text for Markdown: as it is if it is a plain name, otherwise as code.

    Args:
        text: any object, as `str` gives it.
        cell: whether it is for a cell of a table.
    """
    found = visible(text)
    if _PLAIN.fullmatch(found) and "//" not in found and "www." not in found.lower():
        return found
    return code(found.replace("|", "\\|") if cell else found)


def code(text: object) -> str:
    """A text for Markdown as code, fenced by more backticks than it has in a row."""
    text = visible(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " * (not text or "`" in (text[0], text[-1]))
    return f"{fence}{space}{text}{space}{fence}"


def without_non_finite(data: Any) -> Any:
    """Data with None for NaN and infinities, for which JSON has no word."""
    if isinstance(data, dict):
        return {key: without_non_finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_non_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def json_text(data: Any) -> str:
    """Data as JSON of printable ASCII and line ends."""
    return json.dumps(data, indent=1).replace("\x7f", "\\u007f")
