"""Parse numbers as Fortran, C and Python programs print them."""

from __future__ import annotations

import math
import re

# Fortran writes D or Q for E in higher precisions, and no letter at all before an exponent of three
# digits (ISO/IEC 1539-1:2018, 13.7.2.3.3); without one, a mantissa must show its point.
NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eEdDqQ][+-]?\d+)?|(?:\d+\.\d*|\.\d+)[+-]\d{3})", re.ASCII
)
LETTER = re.compile(r"[dDqQ]")
BARE_EXPONENT = re.compile(r"(?<=[\d.])([+-]\d{3})$")
NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|\d+\.#)", re.IGNORECASE)


def number(text: str) -> float:
    """Parse a number.

    Accepts the forms 1, -1.5, .5, 5., 1.5e3, 1.5D+00, 1.5q3 and 1.5-101 (an exponent of -101).

    Raises:
        ValueError: the text is not a number, or not a finite one; the message says which.
    """
    word = text.strip()
    if NUMBER.fullmatch(word):
        found = float(BARE_EXPONENT.sub(r"e\1", LETTER.sub("e", word)))
        if math.isfinite(found):
            return found
        raise ValueError(f"{word!r} is not finite in 64 bits")
    if word and not word.strip("*"):
        raise ValueError(f"{word!r} stands for a number too wide for its field")
    if NOT_FINITE.match(word):
        raise ValueError(f"{word!r} is not finite")
    raise ValueError(f"{word!r} is not a number")
