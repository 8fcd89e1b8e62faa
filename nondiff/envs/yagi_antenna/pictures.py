"""Draw an antenna to scale, its radiation pattern, and its gain and match across the band."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.yagi_antenna.nec2 import CARDS, LIMITS, OUTPUT, Rods, cards
from nondiff.processes.sandbox import CallFailed, find_program, run_once

Array = NDArray[np.float64]

ROD, FED, WANTED = "#444444", "#d55e00", "#8c8c8c"
MATCH = "#0072b2"
STEP = 2  # [degree] between points of a pattern
WEAKEST, STRONGEST = -20.0, 12.0  # [dBi] at the centre and the rim of a pattern


def draw_antenna(
    figure: Any, request: Array, rods: Rods | None, answer: tuple[Array, Array] | None
) -> None:
    """Draw an antenna, its pattern, and its gain and match.

    Args:
        figure: an empty matplotlib figure.
        request: (4,) frequency [MHz], bandwidth, gain [dBi], resistance [ohm].
        rods: the antenna; None: there is none yet.
        answer: gains (k,) [dBi] and magnitudes of the reflection coefficient (k,) across the band,
            NaN if the call failed; None: there is none yet.
    """
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 4), height_ratios=(2, 3))
    top, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    draw_rods(top, rods, request)
    draw_band(below, request, *(answer or (None, None)))
    polar = figure.add_subplot(grid[:, 1], projection="polar")
    works = rods is not None and answer is not None and np.isfinite(answer[0]).all()
    draw_pattern(polar, rods if works else None, request)


def pattern(rods: Rods, frequency: float) -> Array:
    """Compute gains (angles,) [dBi] in the plane of the rods by nec2c, starting along the boom.

    Raises:
        CallFailed: nec2c gave no pattern.
    """
    deck = cards(rods, np.array([frequency]))
    deck = deck.replace("RP 0 1 1 1000 90 0 0 0", f"RP 0 1 {360 // STEP} 1000 90 0 0 {STEP}")
    command = (find_program("nec2c"), "-i", CARDS, "-o", OUTPUT)
    output = run_once(command, files={CARDS: deck}, reads=(OUTPUT,), limits=LIMITS)
    rows = output.files[OUTPUT].partition("RADIATION PATTERNS")[2].splitlines()
    try:
        return np.array([float(row.split()[4]) for row in rows[5 : 5 + 360 // STEP]])
    except (IndexError, ValueError):
        raise CallFailed("invalid output", "there is no radiation pattern") from None


def draw_pattern(axes: Any, rods: Rods | None, request: Array) -> None:
    """Draw the gain around an antenna, and the requested one.

    Args:
        axes: matplotlib axes with polar projection.
        rods: the antenna; None: there is nothing to draw.
        request: (4,) frequency [MHz], bandwidth, gain [dBi], resistance [ohm].
    """
    around = np.radians(np.arange(0, 360 + STEP, STEP))
    axes.plot(around, np.full(len(around), request[2]), color=WANTED, ls=":")
    if rods is not None:
        try:
            gains = np.maximum(pattern(rods, request[0]), WEAKEST)
            axes.plot(around, np.append(gains, gains[0]), color=FED)
        except CallFailed:
            axes.text(0, WEAKEST, "no pattern", ha="center")
    axes.set_rlim(WEAKEST, STRONGEST)
    axes.set_rticks([-10, 0, 10])
    axes.set_title("gain in the plane of the rods [dBi]", fontsize=9)


def draw_rods(axes: Any, rods: Rods | None, request: Array) -> None:
    """Draw an antenna from above, in metres.

    Args:
        axes: matplotlib axes.
        rods: the antenna; None: there is none yet.
        request: (4,) frequency [MHz], bandwidth, gain [dBi], resistance [ohm].
    """
    frequency, bandwidth, _, resistance = request
    axes.set_title(f"{frequency:.0f} MHz, {bandwidth:.1%} wide, {resistance:.0f} ohm", fontsize=9)
    axes.set_xlabel("along the boom [m]")
    axes.set_ylabel("across [m]")
    if rods is None:
        return
    places = zip(rods.lengths, rods.positions, strict=True)
    axes.plot(rods.positions[[0, -1]], [0, 0], color=WANTED, lw=1)  # the boom
    for rod, (length, x) in enumerate(places):
        color = FED if rod == rods.driven else ROD
        axes.plot([x, x], [-length / 2, length / 2], color=color, lw=3, solid_capstyle="butt")
    fed = rods.positions[rods.driven]
    axes.plot([fed], [0], "o", color=FED, ms=5)
    axes.set_aspect("equal")
    axes.margins(0.12)


def draw_band(axes: Any, request: Array, gain: Array | None, reflected: Array | None) -> None:
    """Draw gain and match across the band, and the request.

    Args:
        axes: matplotlib axes.
        request: (4,) frequency [MHz], bandwidth, gain [dBi], resistance [ohm].
        gain: (k,) [dBi]; NaN if the call failed; None: there is no antenna yet.
        reflected: (k,) magnitudes of the reflection coefficient at the requested resistance.
    """
    axes.axhline(request[2], color=FED, ls=":", label="gain requested")
    axes.axhline(1.5, color=MATCH, ls=":", label="VSWR allowed")
    if gain is not None and reflected is not None:
        _draw_answer(axes, request, gain, reflected)
    edges = request[0] * (1 + request[1] * np.array([-0.55, 0.55]))
    axes.set_xlim(*edges)
    axes.set_ylim(0.5, 13)
    axes.set_xlabel("frequency [MHz]")
    axes.legend(fontsize=7, ncols=2, loc="center")


def _draw_answer(axes: Any, request: Array, gain: Array, reflected: Array) -> None:
    if not np.isfinite(gain).all():
        axes.text(0.5, 0.2, "the call failed", transform=axes.transAxes, ha="center")
        return
    frequency = request[0] * (1 + request[1] * np.linspace(-0.5, 0.5, len(gain)))
    axes.plot(frequency, gain, "o-", color=FED, ms=3, label="gain [dBi]")
    standing = (1 + reflected) / (1 - np.minimum(reflected, 0.999))
    axes.plot(frequency, np.minimum(standing, 6), "o-", color=MATCH, ms=3, label="VSWR")
