"""Numbers with a name, bounds and a unit."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import CallFailed, Kind


class Quantity(NamedTuple):
    """What a number may be.

    Args:
        low: its least value.
        high: its largest value.
        unit: in words or letters, such as "m"; "" where it has none.
    """

    low: float
    high: float
    unit: str = ""


Quantities = Mapping[str, Sequence[float | str]]  # (low, high) or (low, high, unit), by name


def quantities(given: Quantities, what: str) -> dict[str, Quantity]:
    """Named quantities, checked.

    Raises:
        InvalidOptionError: names the one that is not (low, high) or (low, high, unit), or whose
            name can't stand in a template.
    """
    if not given:
        raise InvalidOptionError(f"{what} must name one quantity or more")
    return {name: _quantity(name, value, what) for name, value in given.items()}


def _quantity(name: str, value: Sequence[float | str], what: str) -> Quantity:
    if not (isinstance(name, str) and name.isidentifier()) or keyword.iskeyword(name):
        raise InvalidOptionError(
            f"{what}: {name!r} is no name for a quantity; use letters, digits and underscores"
        )
    try:
        low, high, unit = (*value, "")[:3] if len(value) in (2, 3) else ()
        found = Quantity(float(low), float(high), str(unit))
    except (TypeError, ValueError):
        raise InvalidOptionError(
            f"{what}: {name} is {value!r}, not (low, high) or (low, high, unit)"
        ) from None
    if not found.low < found.high:
        raise InvalidOptionError(f"{what}: {name} has low {found.low} not below high {found.high}")
    return found


def check_ranges(values: NDArray[np.float64], allowed: Mapping[str, Quantity], kind: Kind) -> None:
    """Refuse values (quantity,) that are not numbers within their bounds.

    Raises:
        CallFailed: of the kind given; names the first that is not.
    """
    for value, (name, (low, high, unit)) in zip(values, allowed.items(), strict=True):
        if not low <= value <= high:
            shown = f"{value:g} {unit}".rstrip()
            raise CallFailed(kind, f"{name} = {shown} is not within [{low:g}, {high:g}]")
