"""Pictures of an answer: the antenna to scale, its gain and its match across the band."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.yagi_antenna.nec2 import Rods

Array = NDArray[np.float64]

ROD, FED, WANTED = "#444444", "#d55e00", "#8c8c8c"
MATCH = "#0072b2"


def draw_rods(axes: Any, rods: Rods, request: Array) -> None:
    """Draw an antenna from above, in metres.

    Args:
        axes: of matplotlib.
        rods: the antenna.
        request: (4,) frequency [MHz], bandwidth, gain [dBi], resistance [ohm].
    """
    places = zip(rods.lengths, rods.positions, strict=True)
    axes.plot(rods.positions[[0, -1]], [0, 0], color=WANTED, lw=1)  # the boom
    for rod, (length, x) in enumerate(places):
        color = FED if rod == rods.driven else ROD
        axes.plot([x, x], [-length / 2, length / 2], color=color, lw=3, solid_capstyle="butt")
    fed = rods.positions[rods.driven]
    axes.plot([fed], [0], "o", color=FED, ms=5)
    axes.set_aspect("equal")
    axes.margins(0.12)
    frequency, bandwidth, _, resistance = request
    axes.set_title(f"{frequency:.0f} MHz, {bandwidth:.1%} wide, {resistance:.0f} ohm", fontsize=9)
    axes.set_xlabel("along the boom [m]")
    axes.set_ylabel("across [m]")


def draw_band(axes: Any, request: Array, gain: Array, reflected: Array) -> None:
    """Draw gain and match across the band, and what was asked for.

    Args:
        axes: of matplotlib.
        request: (4,) frequency [MHz], bandwidth, gain [dBi], resistance [ohm].
        gain: (k,) [dBi]; NaN where the call failed.
        reflected: (k,) sizes of the reflection coefficient at the requested resistance.
    """
    if not np.isfinite(gain).all():
        axes.text(0.5, 0.5, "the call failed", transform=axes.transAxes, ha="center")
        return
    frequency = request[0] * (1 + request[1] * np.linspace(-0.5, 0.5, len(gain)))
    axes.plot(frequency, gain, "o-", color=FED, ms=3, label="gain [dBi]")
    axes.axhline(request[2], color=FED, ls=":", label="requested")
    standing = (1 + reflected) / (1 - np.minimum(reflected, 0.999))
    axes.plot(frequency, np.minimum(standing, 6), "o-", color=MATCH, ms=3, label="VSWR")
    axes.axhline(1.5, color=MATCH, ls=":", label="allowed")
    axes.set_ylim(0.5, 13)
    axes.set_xlabel("frequency [MHz]")
    axes.legend(fontsize=7, ncols=2, loc="center")
