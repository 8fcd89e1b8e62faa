"""Validate arguments, and parse dataclasses from JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from nondiff.errors import InvalidOptionError, UnknownNameError
from nondiff.text import cut

if TYPE_CHECKING:
    from pydantic import ValidationError

T = TypeVar("T")
SHOWN = 60  # characters of a value


def from_json(kind: type[T], name: str, value: Any) -> T:
    """Make a dataclass from a dict of its fields; an instance is returned unchanged.

    Raises:
        UnknownNameError: a key is not a field.
        InvalidOptionError: `value` is neither; also whatever the dataclass raises.
    """
    if isinstance(value, kind):
        return value
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(value, Mapping):
        raise InvalidOptionError(
            f"{name} must be an object of some of {', '.join(known)}, not {value!r}"
        )
    for key in value:
        if key not in known:
            raise UnknownNameError(f"field of {name}", str(key), known)
    return kind(**value)


def check_number(name: str, value: Any, low: float, high: float, unit: str = "") -> None:
    """Require a finite number from `low` to `high`.

    Raises:
        InvalidOptionError: names the value and the limits.
    """
    if not (is_number(value) and low <= value <= high):
        within = f"a number from {low:g} to {high:g}{' ' * bool(unit)}{unit}"
        raise InvalidOptionError(f"{name} must be {within}, not {value!r}")


def check_whole(name: str, value: Any, low: int, high: int) -> None:
    """Require a whole number from `low` to `high`.

    Raises:
        InvalidOptionError: names the value and the limits.
    """
    if not (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high):
        raise InvalidOptionError(
            f"{name} must be a whole number from {low} to {high}, not {value!r}"
        )


def check_positive(name: str, value: Any) -> None:
    """Require a positive whole number.

    Raises:
        InvalidOptionError: names the value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidOptionError(f"{name} must be a positive whole number, not {value!r}")


def check_bool(name: str, value: Any) -> None:
    """Require a bool.

    Raises:
        InvalidOptionError: names the value.
    """
    if not isinstance(value, bool):
        raise InvalidOptionError(f"{name} must be true or false, not {value!r}")


def first_fault(error: ValidationError) -> str:
    """Describe the first error that pydantic found: the place, the reason and the value."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    value = first["input"]
    given = f" (it is {cut(repr(value), SHOWN)})" if isinstance(value, str | int | float) else ""
    return f"{place}: {first['msg']}{given}" if place else f"{first['msg']}{given}"


def is_number(value: Any) -> bool:
    """Whether a value is a finite int or float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
