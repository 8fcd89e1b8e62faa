"""Escape untrusted text for a terminal and for Markdown.

A terminal obeys escape codes, and bidirectional controls make one name look like another. A
Markdown renderer obeys HTML and links.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_SHOWN = 4_000  # characters of a message
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ .,/:=+()-]*")  # nothing in it is Markdown


def visible(text: object, keep: str = "") -> str:
    r"""Escape all unprintable characters of a text: `\x1b`, `\n`, `\u202e`.

    Unprintable is what Unicode calls so, including bidirectional controls, characters without a
    width, line ends and lone surrogates.

    Args:
        text: any object, converted by `str`.
        keep: characters to leave as they are.
    """
    found = str(text)
    if found.isprintable():
        return found
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in found)


def shortened(text: object) -> str:
    """Cut out the middle of a text that is longer than `MAX_SHOWN`."""
    found = str(text)
    if len(found) <= MAX_SHOWN:
        return found
    ends = MAX_SHOWN // 2
    return f"{found[:ends]} ... {found[-ends:]}"


def cut(text: str, length: int) -> str:
    """Truncate a text to `length` characters, followed by "..."."""
    return text if len(text) <= length else f"{text[:length]}..."


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def markdown(text: object, cell: bool = False) -> str:
    """Format a text for Markdown: unchanged if it is a plain name, otherwise as code.

    Args:
        text: any object, converted by `str`.
        cell: whether it goes into a table cell.
    """
    found = visible(text)
    if _PLAIN.fullmatch(found) and "//" not in found and "www." not in found.lower():
        return found
    return code(found.replace("|", "\\|") if cell else found)


def code(text: object) -> str:
    """Format a text as Markdown code, fenced by more backticks than it holds in a row."""
    text = visible(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " * (not text or "`" in (text[0], text[-1]))
    return f"{fence}{space}{text}{space}{fence}"


def without_non_finite(data: Any) -> Any:
    """Replace NaN and infinities by None, since JSON can't express them."""
    if isinstance(data, dict):
        return {key: without_non_finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_non_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def json_text(data: Any) -> str:
    """Serialize data as JSON in printable ASCII and line ends."""
    return json.dumps(data, indent=1).replace("\x7f", "\\u007f")
