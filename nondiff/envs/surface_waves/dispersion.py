"""Rayleigh phase velocities by disba, and their derivatives by the implicit function theorem.

disba is a Python port of surf96 (Herrmann 2013, Computer Programs in Seismology,
doi:10.1785/0220110096). Its own sensitivity kernels are finite differences with a coarse step and
are not used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.surface_waves import numba_settings as numba_settings  # before numba
from nondiff.requirements import missing

try:
    from disba import DispersionError
    from disba._cps._surf96 import dnka, surf96, var
    from numba import njit
except ImportError as error:
    raise missing("disba") from error

Array = NDArray[np.float64]

FUNDAMENTAL_MODE, PHASE_VELOCITY, DUNKIN = 0, 0, 2
# [km/s] between trial velocities of the root search. The second is tried if the first finds no
# root, such as when it steps over two close modes.
ROOT_STEPS = (0.001, 0.0002)
SLOWEST, FASTEST = 0.01, 10.0  # [km/s]; disba takes slower layers for liquids; no rock is faster
SOLID_SURFACE = -1  # disba's flag for a model without a water layer
PHASE_STEP, BRANCH_STEP = 3e-5, 1e-3  # steps of central differences, on the two scales of F
MIN_STEP, MAX_STEP = 1e-7, 1e-4
MINORS = 5  # second-order minors, which a layer's matrix propagates from bottom to top

VP_OVER_VS = 2.0  # Poisson's ratio 1/3
GARDNER = 1.74, 0.25  # density [g/cm3] = 1.74 vp^0.25, vp [km/s] (Gardner et al. 1974, eq. 2)


def phase_velocities(periods: Array, thickness: Array, vs: Array) -> Array:
    """Compute phase velocities of the fundamental Rayleigh mode.

    Args:
        periods: (k,) ascending [s].
        thickness: (n,) thicknesses of the layers [km]; the last, the half-space, is ignored.
        vs: (n,) shear velocities [km/s].

    Returns:
        (k,) [km/s]; all NaN if a shear velocity is not between `SLOWEST` and `FASTEST`, or the
        search finds no root.
    """
    if not ((vs > SLOWEST) & (vs < FASTEST)).all():
        return np.full(len(periods), np.nan)
    model = (thickness, *of_shear_velocity(vs))
    for step in ROOT_STEPS:
        try:
            found: Array = _searched(periods, vs, *model, step)
        except (DispersionError, ZeroDivisionError):
            continue
        if (found > 0).all():
            return found
    return np.full(len(periods), np.nan)


def _searched(
    periods: Array, vs: Array, thickness: Array, vp: Array, density: Array, step: float
) -> Array:
    kind = (FUNDAMENTAL_MODE, PHASE_VELOCITY, DUNKIN)
    velocities: Array = surf96(periods, thickness, vp, vs, density, *kind, step)
    return velocities


def of_shear_velocity(vs: Array) -> tuple[Array, Array]:
    """Compressional velocities [km/s] and densities [g/cm3] from shear velocities [km/s]."""
    vp = VP_OVER_VS * vs
    return vp, GARDNER[0] * vp ** GARDNER[1]


def sensitivities(periods: Array, thickness: Array, vs: Array, velocities: Array) -> Array:
    """Derivatives (k, n) of the phase velocities with respect to the shear velocities.

    By the implicit function theorem: the dispersion function F(c, vs) is zero along the curve, so
    dc/dvs = -(dF/dvs) / (dF/dc). F is a product of one matrix per layer, from the half-space up
    (Dunkin 1965, doi:10.1785/BSSA0550020335). So its derivative with respect to a layer is a row
    vector from below times that layer's derivative times a column vector from above, which is a few
    times cheaper than the root search. disba's own functions compute the matrices.

    Args:
        periods: (k,) [s].
        thickness: (n,) [km].
        vs: (n,) [km/s].
        velocities: (k,) phase velocities from `phase_velocities` [km/s].
    """
    slopes: Array = _sensitivities(periods, thickness, vs, velocities)
    return slopes


@njit(cache=True)
def _sensitivities(periods, thickness, vs, velocities):  # type: ignore[no-untyped-def]
    n = len(vs)
    slopes = np.empty((len(periods), n))
    layers, growth = np.empty((n - 1, MINORS, MINORS)), np.zeros(n)
    below, below_log = np.empty((n, MINORS)), np.empty(n)
    above, above_log = np.empty((n, MINORS)), np.empty(n)
    changed = np.empty((2, MINORS, MINORS))
    for k in range(len(periods)):
        omega, c = 2 * np.pi / periods[k], velocities[k]
        step = _step(c, omega, thickness, vs)
        dc = step * c
        # disba stops within 1e-6 of the root; a parabola through three points refines it.
        low = _from_below(c - dc, omega, thickness, vs, layers, growth, below, below_log)
        low_log = below_log[0]
        high = _from_below(c + dc, omega, thickness, vs, layers, growth, below, below_log)
        high_log = below_log[0]
        low *= np.exp(low_log - high_log)
        near = c - dc * (high + low) / (high - low)
        value = _from_below(near, omega, thickness, vs, layers, growth, below, below_log)
        value *= np.exp(below_log[0] - high_log)
        to_low, to_high = near - (c - dc), (c + dc) - near
        by_velocity = (
            (value - low) / to_low + (high - value) / to_high - (high - low) / (to_low + to_high)
        )
        root = near - value / by_velocity
        _from_below(root, omega, thickness, vs, layers, growth, below, below_log)
        _from_above(layers, growth, above, above_log)
        for m in range(n):
            row = below[min(m + 1, n - 1)]
            by_layer = _by_layer(
                m, root, omega, thickness, vs, step, growth, row, above[m], changed
            )
            scale = below_log[min(m + 1, n - 1)] + growth[m] + above_log[m]
            slopes[k, m] = -by_layer * np.exp(scale - high_log) / by_velocity
    return slopes


@njit(cache=True)
def _step(c, omega, thickness, vs):  # type: ignore[no-untyped-def]
    """The relative step of the central differences.

    F grows exponentially with wavenumber times depth, and has branch points where c equals vs or vp
    of the half-space; the step is a small fraction of either scale.
    """
    growing = PHASE_STEP / (omega / c * thickness[:-1].sum())
    to_branch = BRANCH_STEP * min(abs(c / vs[-1] - 1), abs(c / (VP_OVER_VS * vs[-1]) - 1))
    return max(MIN_STEP, min(growing, to_branch, MAX_STEP))


@njit(cache=True)
def _from_below(  # type: ignore[no-untyped-def]
    c, omega, thickness, vs, layers, growth, below, below_log
):
    """Compute F / exp(below_log[0]); fill the layers' matrices and the row vectors between them.

    Rows are normalized, with their log scales in below_log; below[m] is the row at the top of layer
    m.
    """
    n = len(vs)
    _half_space(c, omega, vs[n - 1], below[n - 1])
    below_log[n - 1] = 0.0
    for m in range(n - 2, -1, -1):
        growth[m] = _layer(c, omega, thickness[m], vs[m], layers[m])
        size = 0.0
        for j in range(MINORS):
            total = 0.0
            for i in range(MINORS):
                total += below[m + 1, i] * layers[m, i, j]
            below[m, j] = total
            size = max(size, abs(total))
        for j in range(MINORS):
            below[m, j] /= size
        below_log[m] = below_log[m + 1] + growth[m] + np.log(size)
    return below[0, 0]


@njit(cache=True)
def _from_above(layers, growth, above, above_log):  # type: ignore[no-untyped-def]
    """Fill the column vectors from the free surface down; above[m] is the one on top of layer m."""
    above[0] = 0.0
    above[0, 0], above_log[0] = 1.0, 0.0
    for m in range(len(layers)):
        size = 0.0
        for i in range(MINORS):
            total = 0.0
            for j in range(MINORS):
                total += layers[m, i, j] * above[m, j]
            above[m + 1, i] = total
            size = max(size, abs(total))
        for i in range(MINORS):
            above[m + 1, i] /= size
        above_log[m + 1] = above_log[m] + growth[m] + np.log(size)


@njit(cache=True)
def _by_layer(  # type: ignore[no-untyped-def]
    m, c, omega, thickness, vs, step, growth, row, column, changed
):
    """Compute dF/dvs of layer m from the row below and the column above, without its growth."""
    dvs, total = step * vs[m], 0.0
    more, less = changed[0], changed[1]
    if m == len(vs) - 1:
        _half_space(c, omega, vs[m] + dvs, more[0])
        _half_space(c, omega, vs[m] - dvs, less[0])
        for i in range(MINORS):
            total += (more[0, i] - less[0, i]) * column[i]
        return total / (2 * dvs)
    scale_more = np.exp(_layer(c, omega, thickness[m], vs[m] + dvs, more) - growth[m])
    scale_less = np.exp(_layer(c, omega, thickness[m], vs[m] - dvs, less) - growth[m])
    for i in range(MINORS):
        for j in range(MINORS):
            total += row[i] * (scale_more * more[i, j] - scale_less * less[i, j]) * column[j]
    return total / (2 * dvs)


@njit(cache=True)
def _layer(c, omega, d, vs, matrix):  # type: ignore[no-untyped-def]
    """Fill the matrix (5, 5) of a layer by disba's `var` and `dnka`; returns its growth.

    disba divides the matrix by exp(growth), whose slope is infinite where c equals vs or vp of the
    layer; the matrix itself is smooth there.
    """
    vp = VP_OVER_VS * vs
    wavenumber = omega / c
    by_vp, by_vs = wavenumber**2 - (omega / vp) ** 2, wavenumber**2 - (omega / vs) ** 2
    ra, rb = np.sqrt(np.abs(by_vp)), np.sqrt(np.abs(by_vs))
    _, _, a0, cpcq, cpy, cpz, cqw, cqx, xy, xz, wy, wz = var(
        ra * d, rb * d, ra, rb, wavenumber, omega / vp, omega / vs, d
    )
    squared, gammk, density = wavenumber**2, 2 * (vs / omega) ** 2, GARDNER[0] * vp ** GARDNER[1]
    gam = gammk * squared
    dnka(squared, gam, gammk, density, a0, cpcq, cpy, cpz, cqw, cqx, xy, xz, wy, wz, matrix)
    return (ra * d if by_vp > 0 else 0.0) + (rb * d if by_vs > 0 else 0.0)


@njit(cache=True)
def _half_space(c, omega, vs, row):  # type: ignore[no-untyped-def]
    """Fill the row (5,) of the half-space, in which all waves decay with depth."""
    vp = VP_OVER_VS * vs
    density = GARDNER[0] * vp ** GARDNER[1]
    squared = (omega / c) ** 2
    ra = np.sqrt(np.abs(squared - (omega / vp) ** 2))
    rb = np.sqrt(np.abs(squared - (omega / vs) ** 2))
    gammk = 2 * (vs / omega) ** 2
    gam = gammk * squared
    row[0] = density**2 * ((gam - 1) ** 2 - gam * gammk * ra * rb)
    row[1] = -density * ra
    row[2] = density * (gam - 1 - gammk * ra * rb)
    row[3] = density * rb
    row[4] = squared - ra * rb
