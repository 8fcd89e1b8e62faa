"""Draw the Bode plots of the initial and the current design, and the request."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.op_amp.netlist import SIZES, circuit
from nondiff.envs.op_amp.simulator import MEASURES
from nondiff.envs.op_amp.sizing import physical
from nondiff.processes.sandbox import CallFailed, Limits, find_program, run_once

Array = NDArray[np.float64]

START, FOUND, WANTED = "#8c8c8c", "#0072b2", "#d55e00"
DECIBELS, DEGREES = (-60, 110), (-270, 10)  # limits of the axes
LOWEST = (1, 30)  # [Hz] of the line that shows the requested gain
NETLIST, CURVES = "one.cir", "bode.txt"
LIMITS = Limits(timeout=10.0)
KEPT = 8  # cached curves


def draw_bode(axes: Any, start: Array, found: Array | None, request: Array) -> None:
    """Draw gain and phase of two designs against frequency.

    Args:
        axes: two matplotlib axes, for gain and phase.
        start: (11,) the initial state.
        found: (11,) the current state; NaN if the simulation failed; None: there is none yet.
        request: (4,) gain [dB], log10 of the unity-gain frequency [Hz], phase margin [degree],
            log10 of the power [W].
    """
    from matplotlib.ticker import EngFormatter

    _draw_request(axes, request)
    _draw_design(axes, start, START, "start")
    power = f"at most {_microwatts(request)} requested, {_microwatts(start)} at the start"
    if found is not None and np.isfinite(found).all():
        _draw_design(axes, found, FOUND, "found")
        power += f", {_microwatts(found)} found"
    elif found is not None:
        axes[0].text(0.5, 0.5, "the simulation failed", transform=axes[0].transAxes, ha="center")
    axes[0].set_title(power, fontsize=9)
    axes[0].set_ylabel("gain [dB]")
    axes[0].legend(fontsize=8, loc="lower left")
    axes[1].set_ylabel("phase [degree]")
    axes[1].set_xlabel("frequency [Hz]")
    axes[1].xaxis.set_major_formatter(
        EngFormatter(sep=" ")
    )  # avoids powers of ten, which need math text


def _draw_request(axes: Any, request: Array) -> None:
    crossing = 10 ** request[1]
    thick = {"color": WANTED, "lw": 2.5}
    axes[0].plot(LOWEST, [request[0]] * 2, label="at least requested", **thick)
    axes[0].plot([crossing] * 2, [-15, 15], **thick)
    axes[1].plot([crossing / 3, crossing * 3], [request[2] - 180] * 2, **thick)
    axes[0].set_ylim(*DECIBELS)
    axes[1].set_ylim(*DEGREES)
    axes[0].axhline(0, color="black", lw=0.5)


def _draw_design(axes: Any, design: Array, color: str, label: str) -> None:
    try:
        frequency, decibel, degree = bode(tuple(design[: len(SIZES)].tolist()))
    except CallFailed:  # although it was measured before
        return
    axes[0].semilogx(frequency, decibel, color=color, label=label)
    axes[1].semilogx(frequency, degree, color=color)


@lru_cache(KEPT)
def bode(position: tuple[float, ...]) -> tuple[Array, Array, Array]:
    """Simulate the frequencies [Hz], gain [dB] and phase [degree] of a design (7,) by ngspice.

    Raises:
        CallFailed: ngspice gave no curves.
    """
    control = f".control\n{MEASURES}wrdata {CURVES} decibel degree\n.endc\n.end\n"
    text = circuit(physical(np.array(position)).tolist()).replace(".end\n", control)
    command = [find_program("ngspice"), "-n", "-b", NETLIST]
    files = {NETLIST: text}
    output = run_once(command, files=files, reads=(CURVES,), accept=(0, 1), limits=LIMITS)
    try:
        table = np.array([line.split() for line in output.files[CURVES].splitlines()], float)
        return table[:, 0], table[:, 1], table[:, 3]
    except (IndexError, ValueError):
        raise CallFailed("invalid output", "there are no curves") from None


def _microwatts(design: Array) -> str:
    return f"{10 ** (design[-1] + 6):.0f} uW"
