"""Derivatives of the phase velocities by operator overloading through disba's own source.

Forward mode: numbers that carry their derivatives (dual numbers) pass through the bytecode of
disba's Dunkin dispersion function, which is not changed in any way. Only the names that it looks up
mean something else: numpy's functions take dual numbers, and the functions that it calls are its
own again, rebuilt in the same manner.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.errors import MissingDependencyError
from nondiff.envs.surface_waves.dispersion import SOLID_SURFACE, of_shear_velocity

try:
    from disba._cps._common import normc
    from disba._cps._surf96 import dltar4, dnka, var
    from numba import njit
except ImportError as error:
    raise MissingDependencyError(
        "disba is missing: pip install 'nondiff[surface-waves]'"
    ) from error

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEARNESS = 2e-6  # of disba's roots, as a share of them: it stops within half of it
WIDENINGS = 20  # of that, each to twice the width, in search of a change of sign
HALVINGS = 60  # more than the bits of a double
MINORS = 5


def dual_sensitivities(periods: Array, thickness: Array, vs: Array, velocities: Array) -> Array:
    """Derivatives (m, k, n) of the phase velocities with respect to the shear velocities.

    By the implicit function theorem dc/dvs = -(dF/dvs) / (dF/dc), as `sensitivities` does; but F
    and its derivatives are disba's `dltar4` on dual numbers, without a formula of ours. disba
    scales F by its largest minor, which makes it nearly a step at some roots: the derivatives are
    taken at the root's nearest doubles.

    Args:
        periods: (k,) [s].
        thickness: (n,) [km].
        vs: (m, n) [km/s] models.
        velocities: (m, k) [km/s] their roots, as `phase_velocities` gave them.
    """
    (models, layers), count = vs.shape, len(periods)
    if models == 0:
        return np.zeros((0, count, layers))
    roots = polish(periods, thickness, vs, velocities)
    c = Dual.seed(roots.ravel(), 0, layers + 1)
    omega = Dual(np.tile(2 * np.pi / periods, models), np.zeros_like(c.tangent))
    shear = np.empty(layers, object)
    for m, values in enumerate(np.repeat(vs, count, axis=0).T):
        shear[m] = Dual.seed(values, m + 1, layers + 1)
    vp, density = of_shear_velocity(shear)
    matrix = np.empty((MINORS, MINORS), object)
    slopes = _dispersion(
        omega / c, omega, thickness, vp, shear, density, SOLID_SURFACE, matrix
    ).tangent
    by_layer: Array = (-slopes[1:] / slopes[0]).T.reshape(models, count, layers)
    return by_layer


def polish(periods: Array, thickness: Array, vs: Array, velocities: Array) -> Array:
    """The roots (m, k) [km/s] of disba's dispersion function nearest to disba's, to a double.

    By bisection on its sign; NaN where it does not change near one.
    """
    roots: Array = _polish(periods, thickness, vs, velocities, *of_shear_velocity(vs))
    return roots


@njit(cache=True)
def _polish(periods, thickness, vs, velocities, vp, density):  # type: ignore[no-untyped-def]
    roots, matrix = np.empty_like(velocities), np.empty((MINORS, MINORS))
    for m in range(len(vs)):
        for k in range(len(periods)):
            omega = 2 * np.pi / periods[k]
            ground = (omega, thickness, vp[m], vs[m], density[m], SOLID_SURFACE, matrix)
            width = NEARNESS * velocities[m, k] / 2
            low, high = velocities[m, k] - width, velocities[m, k] + width
            sign = np.sign(dltar4(omega / low, *ground))
            for _ in range(WIDENINGS):
                if sign != np.sign(dltar4(omega / high, *ground)):
                    break
                width *= 2
                low, high = velocities[m, k] - width, velocities[m, k] + width
                sign = np.sign(dltar4(omega / low, *ground))
            else:
                roots[m, k] = np.nan
                continue
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                if middle in (low, high):
                    break
                if np.sign(dltar4(omega / middle, *ground)) == sign:
                    low = middle
                else:
                    high = middle
            roots[m, k] = high
    return roots


class Dual:
    """A batch of numbers and their derivatives.

    A comparison on which the batch is not of one mind raises `MixedError`.

    Args:
        value: (b,).
        tangent: (t, b) derivatives with respect to t variables.
    """

    __slots__ = ("tangent", "value")
    __array_ufunc__ = None  # numpy's numbers and arrays leave their arithmetic with this to it

    def __init__(self, value: Array, tangent: Array) -> None:
        self.value = value
        self.tangent = tangent

    @classmethod
    def seed(cls, value: Array, variable: int, variables: int) -> Dual:
        """A variable itself."""
        tangent = np.zeros((variables, len(value)))
        tangent[variable] = 1.0
        return cls(value, tangent)

    def take(self, rows: Mask) -> Dual:
        """Some of the batch."""
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
        return _of_one_mind(self.value < _value(other))

    def __gt__(self, other: Any) -> bool:
        return _of_one_mind(self.value > _value(other))

    def __eq__(self, other: object) -> bool:
        return _of_one_mind(self.value == _value(other))

    __hash__ = None  # type: ignore[assignment]


class MixedError(Exception):
    """A comparison holds for some of a batch only: for `holds` (b,)."""

    def __init__(self, holds: Mask) -> None:
        super().__init__("the batch takes both branches")
        self.holds = holds


def _of_one_mind(holds: Mask) -> bool:
    if holds.all():
        return True
    if holds.any():
        raise MixedError(holds)
    return False


def _value(number: Any) -> Any:
    return number.value if isinstance(number, Dual) else number


def _chain(inner: Dual, value: Array, slope: Array) -> Dual:
    return Dual(value, inner.tangent * slope)


def _function(
    value: Callable[[Any], Any], slope: Callable[[Array, Array], Array]
) -> Callable[[Any], Any]:
    """A function of a dual or a plain number, with its slope at (x, value)."""

    def of(x: Any) -> Any:
        if not isinstance(x, Dual):
            return value(x)
        at_x = value(x.value)
        return _chain(x, at_x, slope(x.value, at_x))

    return of


def _constant_max(a: Any, b: Any) -> Any:
    """Python's `max` of two, entry by entry, as a constant.

    disba scales F by the largest minor, and its roots are those of F on any scale. Where a mode is
    trapped under layers in which it dies away, the scaled F is a step between two doubles, and the
    derivatives of the scale would drown those of F: it has none.
    """
    dual = b if isinstance(b, Dual) else a
    return Dual(np.maximum(_value(a), _value(b)), np.zeros_like(dual.tangent))


NUMPY_FOR_DUALS = types.SimpleNamespace(
    float64=object,
    zeros=lambda shape, dtype: np.zeros(shape, dtype),  # of dual numbers to come
    sqrt=_function(np.sqrt, lambda x, root: 0.5 / root),
    exp=_function(np.exp, lambda x, power: power),
    log=_function(np.log, lambda x, logarithm: 1 / x),
    sin=_function(np.sin, lambda x, sine: np.cos(x)),
    cos=_function(np.cos, lambda x, cosine: -np.sin(x)),
    abs=_function(np.abs, lambda x, size: np.sign(x)),
)


def _rebuilt(jitted: Any, **functions: Any) -> Callable[..., Any]:
    """A function of disba, its code unchanged, where names that it looks up mean other things."""
    return types.FunctionType(
        jitted.py_func.__code__, {"np": NUMPY_FOR_DUALS, "max": _constant_max, **functions}
    )


def _branching(function: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a function of one batch or more on the parts of them that take the same branches."""

    def run(*arguments: Any) -> Any:
        try:
            return function(*arguments)
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
    """One batch of two parts; a plain number stands for a batch of it."""
    value = np.empty(len(holds))
    value[holds], value[~holds] = _value(where), _value(elsewhere)
    duals = [part for part in (where, elsewhere) if isinstance(part, Dual)]
    if not duals:
        return value
    tangent = np.zeros((len(duals[0].tangent), len(holds)))
    for rows, part in ((holds, where), (~holds, elsewhere)):
        if isinstance(part, Dual):
            tangent[:, rows] = part.tangent
    return Dual(value, tangent)


_dispersion = _branching(
    _rebuilt(
        dltar4,
        var=_branching(_rebuilt(var)),
        dnka=_rebuilt(dnka),
        normc=_rebuilt(normc),
    )
)
