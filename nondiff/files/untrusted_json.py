"""Parse untrusted JSON, with bounds on its size, depth and numbers."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_BYTES = 2**24  # of a file; parsing takes up to 30 times as much memory
MAX_DEPTH = 100  # of nested lists and objects
MAX_DIGITS = 45  # of an integer; states of random generators have 39
SHOWN = 20  # characters of a number that an error quotes


def parse_json(data: bytes) -> Any:
    """Parse UTF-8 JSON; NaN and infinities are accepted as Python writes them.

    Raises:
        ValueError: invalid JSON, nested too deeply, or a number out of range.
    """
    try:
        value = json.loads(data.decode(), parse_int=_integer, parse_float=_real)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    _check_depth(value)
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"the number {text[:SHOWN]}... has {len(text)} digits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:SHOWN]} is out of range")
    return value


def _check_depth(value: Any) -> None:
    """Reject JSON too deep for recursive code, walking it one level at a time."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                inner += part.values()
            elif isinstance(part, list):
                inner += part
        if not inner:
            return
        level = [part for part in inner if isinstance(part, dict | list)]
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
