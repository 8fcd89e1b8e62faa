"""Rayleigh phase velocities by disba, and their derivatives by the implicit function theorem.

The only module that imports disba and numba. disba is a Python port of surf96 (Herrmann 2013,
Computer Programs in Seismology, doi:10.1785/0220110096); its own sensitivity kernels are finite
differences with a coarse step and are not used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.errors import MissingDependencyError

try:
    from disba import DispersionError
    from disba._cps._surf96 import dnka, surf96, var
    from numba import njit
except ImportError as error:
    raise MissingDependencyError(
        "disba is missing: pip install 'nondiff[surface-waves]'"
    ) from error

Array = NDArray[np.float64]

FUNDAMENTAL_MODE, PHASE_VELOCITY, DUNKIN = 0, 0, 2
ROOT_STEP = 0.001  # [km/s] between trial velocities of the root search
SOLID_SURFACE = -1  # disba's flag for a model without a water layer
RELATIVE_STEP = 1e-5  # of the central differences of a layer's matrix
MINORS = 5  # second-order minors that a layer's matrix carries from its bottom to its top

VP_OVER_VS = 2.0  # a Poisson's ratio of 1/3
GARDNER = 1.74, 0.25  # density [g/cm3] = 1.74 vp^0.25, vp [km/s] (Gardner et al. 1974, eq. 2)


def phase_velocities(periods: Array, thickness: Array, vs: Array) -> Array:
    """Phase velocities of the fundamental Rayleigh mode.

    Args:
        periods: (k,) [s], ascending.
        thickness: (n,) of the layers [km]; the last is the half-space, whose own is not read.
        vs: (n,) shear velocities [km/s].

    Returns:
        (k,) [km/s]; NaN where a velocity is not positive, or the search finds no root.
    """
    if not (np.isfinite(vs).all() and (vs > 0).all()):
        return np.full(len(periods), np.nan)
    vp, density = of_shear_velocity(vs)
    try:
        found: Array = surf96(
            periods,
            thickness,
            vp,
            vs,
            density,
            FUNDAMENTAL_MODE,
            PHASE_VELOCITY,
            DUNKIN,
            ROOT_STEP,
        )
    except (DispersionError, ZeroDivisionError):
        return np.full(len(periods), np.nan)
    return np.where((found > 0).all(), found, np.nan)


def of_shear_velocity(vs: Array) -> tuple[Array, Array]:
    """Compressional velocities [km/s] and densities [g/cm3] of shear velocities [km/s]."""
    vp = VP_OVER_VS * vs
    return vp, GARDNER[0] * vp ** GARDNER[1]


def sensitivities(periods: Array, thickness: Array, vs: Array, velocities: Array) -> Array:
    """Derivatives (k, n) of the phase velocities with respect to the shear velocities.

    By the implicit function theorem: the dispersion function F(c, vs) is zero along the curve, so
    dc/dvs = -(dF/dvs) / (dF/dc). F is a product of one matrix a layer (Dunkin 1965,
    doi:10.1785/BSSA0550020335), from the half-space up, so that its derivative with respect to a
    layer is a row vector from below, that layer's derivative, and a column vector from above: a
    hundred times cheaper than a root search. disba's own functions give the matrices.

    Args:
        periods: (k,) [s].
        thickness: (n,) [km].
        vs: (n,) [km/s].
        velocities: (k,) [km/s] roots, as `phase_velocities` gave them.
    """
    slopes: Array = _sensitivities(periods, thickness, vs, velocities)
    return slopes


@njit(cache=True)
def _sensitivities(periods, thickness, vs, velocities):  # type: ignore[no-untyped-def]
    slopes = np.empty((len(periods), len(vs)))
    for k in range(len(periods)):
        omega, c = 2 * np.pi / periods[k], velocities[k]
        # disba stops within 1e-6 of the root; a Newton step brings c to its double precision.
        value, by_velocity, _ = _dispersion_slopes(c, omega, thickness, vs)
        _, by_velocity, by_layer = _dispersion_slopes(c - value / by_velocity, omega, thickness, vs)
        slopes[k] = -by_layer / by_velocity
    return slopes


@njit(cache=True)
def _dispersion_slopes(c, omega, thickness, vs):  # type: ignore[no-untyped-def]
    """F, dF/dc and dF/dvs (n,), all divided by one positive number.

    Rows from below and columns from above are normalised, their scales kept as logarithms.
    """
    n = len(vs)
    below, below_log = np.zeros((n - 1, MINORS)), np.zeros(n - 1)
    above, above_log = np.zeros((n, MINORS)), np.zeros(n)
    row, scale = _half_space(c, omega, vs[n - 1]), 0.0
    for m in range(n - 2, -1, -1):
        below[m], below_log[m] = row, scale
        row = row @ _layer(c, omega, thickness[m], vs[m])
        size = np.abs(row).max()
        row, scale = row / size, scale + np.log(size)
    above[0, 0] = 1.0
    for m in range(n - 1):
        column = _layer(c, omega, thickness[m], vs[m]) @ above[m]
        size = np.abs(column).max()
        above[m + 1], above_log[m + 1] = column / size, above_log[m] + np.log(size)

    reference = above_log[n - 1]
    by_layer = np.empty(n)
    dc, dvs = RELATIVE_STEP * c, RELATIVE_STEP * vs[n - 1]
    moved = _half_space(c + dc, omega, vs[n - 1]) - _half_space(c - dc, omega, vs[n - 1])
    by_velocity = moved @ above[n - 1] / (2 * dc)
    moved = _half_space(c, omega, vs[n - 1] + dvs) - _half_space(c, omega, vs[n - 1] - dvs)
    by_layer[n - 1] = moved @ above[n - 1] / (2 * dvs)
    for m in range(n - 1):
        weight = np.exp(below_log[m] + above_log[m] - reference)
        d, dvs = thickness[m], RELATIVE_STEP * vs[m]
        change = _layer(c + dc, omega, d, vs[m]) - _layer(c - dc, omega, d, vs[m])
        by_velocity += weight * (below[m] @ change @ above[m]) / (2 * dc)
        change = _layer(c, omega, d, vs[m] + dvs) - _layer(c, omega, d, vs[m] - dvs)
        by_layer[m] = weight * (below[m] @ change @ above[m]) / (2 * dvs)
    value = _half_space(c, omega, vs[n - 1]) @ above[n - 1]
    return value, by_velocity, by_layer


@njit(cache=True)
def _layer(c, omega, d, vs):  # type: ignore[no-untyped-def]
    """The matrix (5, 5) of a layer, by disba's `var` and `dnka`."""
    vp = VP_OVER_VS * vs
    wavenumber = omega / c
    ra = np.sqrt(np.abs(wavenumber**2 - (omega / vp) ** 2))
    rb = np.sqrt(np.abs(wavenumber**2 - (omega / vs) ** 2))
    _, _, a0, cpcq, cpy, cpz, cqw, cqx, xy, xz, wy, wz = var(
        ra * d, rb * d, ra, rb, wavenumber, omega / vp, omega / vs, d
    )
    gammk = 2 * (vs / omega) ** 2
    return dnka(
        wavenumber**2,
        gammk * wavenumber**2,
        gammk,
        GARDNER[0] * vp ** GARDNER[1],
        a0,
        cpcq,
        cpy,
        cpz,
        cqw,
        cqx,
        xy,
        xz,
        wy,
        wz,
        np.empty((MINORS, MINORS)),
    )


@njit(cache=True)
def _half_space(c, omega, vs):  # type: ignore[no-untyped-def]
    """The row (5,) that the half-space hands up; no wave grows with depth in it."""
    vp = VP_OVER_VS * vs
    density = GARDNER[0] * vp ** GARDNER[1]
    squared = (omega / c) ** 2
    ra = np.sqrt(np.abs(squared - (omega / vp) ** 2))
    rb = np.sqrt(np.abs(squared - (omega / vs) ** 2))
    gammk = 2 * (vs / omega) ** 2
    gam = gammk * squared
    return np.array(
        [
            density**2 * ((gam - 1) ** 2 - gam * gammk * ra * rb),
            -density * ra,
            density * (gam - 1 - gammk * ra * rb),
            density * rb,
            squared - ra * rb,
        ]
    )
