"""Draw an inversion: the true and the recovered model, and their dispersion curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TRUE, RECOVERED = "#8c8c8c", "#d55e00"
BELOW = 1.3  # drawn depth relative to the top of the half-space
PER_KM = 1000  # [m/km]


def draw_ground(
    axes: Any,
    thickness: Array,
    models: Mapping[str, Array | None],
    deviation: float,
    mean_vs: Array,
) -> None:
    """Draw shear velocities against depth, with the prior's 95 % range.

    Args:
        axes: matplotlib axes.
        thickness: (layers,) [km], the half-space last.
        models: the "true" and the "recovered" model, (layers,) [km/s]; None: there is none.
        deviation: standard deviation of the prior on log vs.
        mean_vs: (layers,) mean of the prior [km/s].
    """
    tops = np.cumsum(thickness) - thickness
    edges = PER_KM * np.append(tops, BELOW * tops[-1])
    low, high = (PER_KM * mean_vs * np.exp(side * deviation) for side in (-1.96, 1.96))
    prior = {"orientation": "horizontal", "baseline": low, "fill": True, "lw": 0}
    axes.stairs(high, edges, color=TRUE, alpha=0.15, label="prior, 95 %", **prior)
    for label, color in (("true", TRUE), ("recovered", RECOVERED)):
        values = models[label]
        if values is not None:
            step = {"orientation": "horizontal", "baseline": None, "lw": 2.2}
            axes.stairs(PER_KM * values, edges, color=color, label=label, **step)
    axes.set_ylim(edges[-1], 0)
    axes.set_xlim(left=0)
    axes.set_xlabel("shear velocity [m/s]")
    axes.set_ylabel("depth [m]")
    axes.legend(fontsize=9)


def draw_curves(
    axes: Any, periods: Array, measured: Array, outcome: Array | None, noise: float
) -> None:
    """Draw measured phase velocities with one-sigma error bars, and those of the recovered model.

    Args:
        axes: matplotlib axes.
        periods: (k,) [s].
        measured: (k,) [km/s].
        outcome: (k,) [km/s]; NaN if the model has no curve; None: there is no model.
        noise: relative standard deviation of a measurement.
    """
    bars = PER_KM * noise * measured
    axes.errorbar(
        1 / periods, PER_KM * measured, bars, fmt=".", color=TRUE, capsize=2, label="measured"
    )
    if outcome is not None and np.isfinite(outcome).all():
        axes.plot(1 / periods, PER_KM * outcome, color=RECOVERED, lw=2, label="recovered")
    elif outcome is not None:
        axes.text(0.5, 0.5, "no curve: the model failed", transform=axes.transAxes, ha="center")
    axes.set_xscale("log")
    ticks = [frequency for frequency in (1, 2, 5, 10, 20, 50) if frequency * periods.max() > 1]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(0.9 / periods.max(), 1.1 / periods.min())
    axes.set_xlabel("frequency [Hz]")
    axes.set_ylabel("phase velocity [m/s]")
    axes.legend(fontsize=9)
