"""Named numbers with bounds and a unit."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nondiff.errors import InvalidOptionError
from nondiff.processes.sandbox import CallFailed, Kind


class Quantity(NamedTuple):
    """The bounds and the unit of a number.

    Args:
        low: lower bound.
        high: upper bound.
        unit: such as "m"; "" if it has none.
    """

    low: float
    high: float
    unit: str = ""


Quantities = Mapping[str, Sequence[float | str]]  # (low, high) or (low, high, unit), by name


def quantities(given: Quantities, what: str) -> dict[str, Quantity]:
    """Validate named quantities.

    Raises:
        InvalidOptionError: a value is not (low, high) or (low, high, unit), or a name is not an
            identifier.
    """
    if not given:
        raise InvalidOptionError(f"{what} must name one quantity or more")
    return {name: _quantity(name, value, what) for name, value in given.items()}


def _quantity(name: str, value: Sequence[float | str], what: str) -> Quantity:
    if not (isinstance(name, str) and name.isidentifier()) or keyword.iskeyword(name):
        raise InvalidOptionError(
            f"{what}: {name!r} is not a name for a quantity; use letters, digits and underscores"
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
    """Require values (quantity,) within their bounds.

    Raises:
        CallFailed: of the given kind; names the first value out of its bounds.
    """
    for value, (name, (low, high, unit)) in zip(values, allowed.items(), strict=True):
        if not low <= value <= high:
            shown = f"{value:g} {unit}".rstrip()
            raise CallFailed(kind, f"{name} = {shown} is not within [{low:g}, {high:g}]")
