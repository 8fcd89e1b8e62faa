"""The ranges of numbers, and the words, that the commands take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from annotated_types import Ge, Le

from nondiff.errors import InvalidOptionError

Device = Literal["cpu", "cuda", "auto"]  # where networks are trained
MAX_EPISODES = 10**6
MAX_THREADS = 1024
MAX_STEPS = 10**12
MAX_RETURN = 1e100  # its sums and squares are numbers, too, and it can be drawn
Return = Annotated[float, Ge(-MAX_RETURN), Le(MAX_RETURN)]


def check_ranges(options: Mapping[str, tuple[float, float, float]]) -> None:
    """Refuse an option outside its range, bounds included; NaN is outside every range.

    Args:
        options: value, lowest and highest, by the option's name.

    Raises:
        InvalidOptionError: names the option as the command line does, and its range.
    """
    for name, (value, low, high) in options.items():
        if not low <= value <= high:
            flag = name.replace("_", "-")
            raise InvalidOptionError(f"--{flag} {value} is not from {low} to {high}")
