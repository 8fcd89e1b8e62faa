"""Dual numbers: batches of numbers that propagate their derivatives through arithmetic.

Forward-mode automatic differentiation by operator overloading (Griewank and Walther 2008,
"Evaluating Derivatives", section 6.1), for code with branches, written for single numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Dual:
    """A batch of numbers and their derivatives.

    A comparison that holds for only a part of the batch raises `MixedError`.

    Args:
        value: (b,).
        tangent: (t, b) derivatives with respect to t variables.
    """

    __slots__ = ("tangent", "value")
    __array_ufunc__ = None  # numpy defers to the operators of this class

    def __init__(self, value: Array, tangent: Array) -> None:
        self.value = value
        self.tangent = tangent

    @classmethod
    def seed(cls, value: Array, variable: int, variables: int) -> Dual:
        """Make the dual number of an independent variable, with derivative 1."""
        tangent = np.zeros((variables, len(value)))
        tangent[variable] = 1.0
        return cls(value, tangent)

    def take(self, rows: Mask) -> Dual:
        """Select a part of the batch."""
        return Dual(self.value[rows], self.tangent[:, rows])

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.tangent)

    def __add__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value + other.value, self.tangent + other.tangent)
        return Dual(self.value + other, self.tangent)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value - other.value, self.tangent - other.tangent)
        return Dual(self.value - other, self.tangent)

    def __rsub__(self, other: Any) -> Dual:
        return Dual(other - self.value, -self.tangent)

    def __mul__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            tangent = self.tangent * other.value
            tangent += other.tangent * self.value
            return Dual(self.value * other.value, tangent)
        return Dual(self.value * other, self.tangent * other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return self * _chain(other, 1 / other.value, -1 / other.value**2)
        return Dual(self.value / other, self.tangent / other)

    def __rtruediv__(self, other: Any) -> Dual:
        return _chain(self, other / self.value, -other / self.value**2)

    def __pow__(self, power: float) -> Dual:
        return _chain(self, self.value**power, power * self.value ** (power - 1))

    def __lt__(self, other: Any) -> bool:
        return _of_one_mind(self.value < plain(other))

    def __gt__(self, other: Any) -> bool:
        return _of_one_mind(self.value > plain(other))

    def __eq__(self, other: object) -> bool:
        return _of_one_mind(self.value == plain(other))

    __hash__ = None  # type: ignore[assignment]


class MixedError(Exception):
    """A comparison holds for only a part of a batch, flagged by `holds` (b,)."""

    def __init__(self, holds: Mask) -> None:
        super().__init__("the batch takes both branches")
        self.holds = holds


def _of_one_mind(holds: Mask) -> bool:
    if holds.all():
        return True
    if holds.any():
        raise MixedError(holds)
    return False


def plain(number: Any) -> Any:
    """The values (b,) of a dual number; any other number is returned unchanged."""
    return number.value if isinstance(number, Dual) else number


def _chain(inner: Dual, value: Array, slope: Array) -> Dual:
    return Dual(value, inner.tangent * slope)


def function(
    value: Callable[[Any], Any], slope: Callable[[Array, Array], Array]
) -> Callable[[Any], Any]:
    """Extend a function to dual numbers, given its slope at (x, value)."""

    def of(x: Any) -> Any:
        if not isinstance(x, Dual):
            return value(x)
        at_x = value(x.value)
        return _chain(x, at_x, slope(x.value, at_x))

    return of


def branching(code: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap code with branches: split the batch until each part takes the same branches."""

    def run(*arguments: Any) -> Any:
        try:
            return code(*arguments)
        except MixedError as mixed:
            holds = mixed.holds
        parts = [run(*(_take(a, rows) for a in arguments)) for rows in (holds, ~holds)]
        if isinstance(parts[0], tuple):
            return tuple(_join(holds, *pair) for pair in zip(*parts, strict=True))
        return _join(holds, *parts)

    return run


def _take(argument: Any, rows: Mask) -> Any:
    if isinstance(argument, Dual):
        return argument.take(rows)
    if not (isinstance(argument, np.ndarray) and argument.dtype == object):
        return argument  # the same for the whole batch
    taken = np.empty_like(argument)
    for place, entry in np.ndenumerate(argument):
        taken[place] = _take(entry, rows)
    return taken


def _join(holds: Mask, where: Any, elsewhere: Any) -> Any:
    """Join two parts of a batch; a plain number is broadcast over its part."""
    value = np.empty(len(holds))
    value[holds], value[~holds] = plain(where), plain(elsewhere)
    duals = [part for part in (where, elsewhere) if isinstance(part, Dual)]
    if not duals:
        return value
    tangent = np.zeros((len(duals[0].tangent), len(holds)))
    for rows, part in ((holds, where), (~holds, elsewhere)):
        if isinstance(part, Dual):
            tangent[:, rows] = part.tangent
    return Dual(value, tangent)
