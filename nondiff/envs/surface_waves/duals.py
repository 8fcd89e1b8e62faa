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
from disba._cps._common import normc
from disba._cps._surf96 import dltar4, dnka, var
from numba import njit
from numpy.typing import NDArray

from nondiff.envs.surface_waves.dispersion import MINORS, SOLID_SURFACE, of_shear_velocity
from nondiff.envs.surface_waves.dual_numbers import Dual, branching, function, plain

Array = NDArray[np.float64]

NEARNESS = 2e-6  # of disba's roots, as a share of them: it stops within half of it
WIDENINGS = 20  # of that, each to twice the width, in search of a change of sign
HALVINGS = 60  # more than the bits of a double


def dual_sensitivities(periods: Array, thickness: Array, vs: Array, velocities: Array) -> Array:
    """Derivatives (m, k, n) of the phase velocities with respect to the shear velocities.

    By the implicit function theorem dc/dvs = -(dF/dvs) / (dF/dc), as `sensitivities` does; but F
    and its derivatives are disba's `dltar4` on dual numbers, without a formula of ours, at roots
    refined by `polish`.

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
    roots = np.where(np.isfinite(roots), roots, velocities)
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


def _constant_max(a: Any, b: Any) -> Any:
    """Python's `max` of two, entry by entry, as a constant.

    disba scales F by the largest minor, and its roots are those of F on any scale. Where a mode is
    trapped under layers in which it dies away, the scaled F is a step between two doubles, and the
    derivatives of the scale would drown those of F: it has none.
    """
    larger = np.maximum(plain(a), plain(b))
    duals = [number for number in (a, b) if isinstance(number, Dual)]
    return Dual(larger, np.zeros_like(duals[0].tangent)) if duals else larger


NUMPY_FOR_DUALS = types.SimpleNamespace(
    float64=object,  # what disba makes arrays of, which here are to hold dual numbers
    zeros=np.zeros,
    sqrt=function(np.sqrt, lambda x, root: 0.5 / root),
    exp=function(np.exp, lambda x, power: power),
    log=function(np.log, lambda x, logarithm: 1 / x),
    sin=function(np.sin, lambda x, sine: np.cos(x)),
    cos=function(np.cos, lambda x, cosine: -np.sin(x)),
    abs=function(np.abs, lambda x, size: np.sign(x)),
)


def _rebuilt(jitted: Any, **functions: Any) -> Callable[..., Any]:
    """A function of disba, its code unchanged, where names that it looks up mean other things."""
    return types.FunctionType(
        jitted.py_func.__code__, {"np": NUMPY_FOR_DUALS, "max": _constant_max, **functions}
    )


_dispersion = branching(
    _rebuilt(
        dltar4,
        var=branching(_rebuilt(var)),
        dnka=_rebuilt(dnka),
        normc=_rebuilt(normc),
    )
)
