"""Derivatives of phase velocities by operator overloading through disba's own source.

Forward-mode automatic differentiation: dual numbers pass through the unchanged bytecode of disba's
Dunkin dispersion function. Only the globals of that function differ: numpy's functions are replaced
by versions for dual numbers, and the disba functions that it calls are rebuilt in the same way.
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

NEARNESS = 2e-6  # relative width of the first bracket; disba stops within half of it
WIDENINGS = 20  # doublings of the bracket, in search of a change of sign
HALVINGS = 60  # bisection steps, more than a double has bits


def dual_sensitivities(periods: Array, thickness: Array, vs: Array, velocities: Array) -> Array:
    """Derivatives (m, k, n) of the phase velocities with respect to the shear velocities.

    By the implicit function theorem, dc/dvs = -(dF/dvs) / (dF/dc), as in `sensitivities`. Here F
    and its derivatives come from disba's `dltar4` on dual numbers, without hand-written formulas,
    at roots refined by `polish`.

    Args:
        periods: (k,) [s].
        thickness: (n,) [km].
        vs: (m, n) shear velocities of m models [km/s].
        velocities: (m, k) phase velocities from `phase_velocities` [km/s].
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
    """Refine disba's roots (m, k) [km/s] to double precision.

    By bisection on the sign of its dispersion function; NaN if the sign does not change nearby.
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
    """The element-wise `max` of two numbers, with zero derivatives.

    disba divides F by the largest minor; the scale does not change the roots. If a mode is trapped
    under layers in which it decays, the scaled F is a step between two doubles, and the derivatives
    of the scale would dominate those of F. So the scale is treated as a constant.
    """
    larger = np.maximum(plain(a), plain(b))
    duals = [number for number in (a, b) if isinstance(number, Dual)]
    return Dual(larger, np.zeros_like(duals[0].tangent)) if duals else larger


NUMPY_FOR_DUALS = types.SimpleNamespace(
    float64=object,  # the dtype of disba's arrays, which must hold dual numbers
    zeros=np.zeros,
    sqrt=function(np.sqrt, lambda x, root: 0.5 / root),
    exp=function(np.exp, lambda x, power: power),
    log=function(np.log, lambda x, logarithm: 1 / x),
    sin=function(np.sin, lambda x, sine: np.cos(x)),
    cos=function(np.cos, lambda x, cosine: -np.sin(x)),
    abs=function(np.abs, lambda x, size: np.sign(x)),
)


def _rebuilt(jitted: Any, **functions: Any) -> Callable[..., Any]:
    """A disba function with unchanged code and replaced globals."""
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
