"""Measure designs with a persistent ngspice process."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.op_amp.netlist import (
    CENTRE,
    FIRST_FREQUENCY,
    LAST_FREQUENCY,
    PER_DECADE,
    SIZES,
    SUPPLY,
    circuit,
)
from nondiff.processes.sandbox import CallFailed, Limits, PersistentProcess, find_program

Vector = NDArray[np.float64]

SPECS = ("gain", "unity-gain frequency", "phase margin", "power")
# Plausible ranges of the specs [dB, Hz, degree, W]; values outside are invalid output.
RANGES = (
    (0.0, 200.0),
    (FIRST_FREQUENCY, LAST_FREQUENCY),
    (-360.0, 180.0),
    (0.0, 1.0),
)
END = "end of the answer"
NETLIST = "op_amp.cir"
MAX_CALLS = 5_000  # per process, which leaks some kilobytes per call
ANSWER = re.compile(r"^(\S+) = (\S+)\s*$", re.MULTILINE)

# `meas` interpolates between frequencies; a result that it can't find is missing from the output.
MEASURES = f"""op
let supply = -i(vdd)
print supply
ac dec {PER_DECADE} {FIRST_FREQUENCY} {LAST_FREQUENCY}
let decibel = vdb(out)
let degree = 180/pi*cph(v(out))
let dc = decibel[0]
print dc
meas ac unity when decibel=0 fall=1
meas ac turn find degree when decibel=0 fall=1
print unity turn
"""


class Simulator:
    """Measures designs with a supervised ngspice process, started on demand.

    Each call parses the circuit again (`reset`). Altering the values of a parsed circuit is no
    faster, and it would keep the pivot order of its first values, so that the last bits of results
    would depend on earlier calls.

    Args:
        limits: resource limits; the timeout applies to each call.
        netlist: the netlist to simulate, with the parameters `SIZES`; None: `circuit`.

    Raises:
        MissingDependencyError: ngspice is not installed; the message says how to install it.
    """

    def __init__(self, limits: Limits | None = None, netlist: str | None = None) -> None:
        self.process = PersistentProcess(
            [find_program("ngspice"), "-n", "-p", NETLIST],
            files={NETLIST: circuit(CENTRE) if netlist is None else netlist},
            limits=limits,
        )
        self._calls = 0

    def __call__(self, sizes: Sequence[float] | Vector) -> Vector:
        """Measure a design.

        Args:
            sizes: (7,) in the order and units of `SIZES`.

        Returns:
            (4,) gain [dB], unity-gain frequency [Hz], phase margin [degree], power [W].

        Raises:
            CallFailed: an invalid input, which is not run; no operating point (nonconvergence); no
                unity-gain frequency, or a value out of `RANGES` (invalid output); also whatever
                `PersistentProcess.ask` raises.
        """
        check_sizes(sizes)
        if self._calls == MAX_CALLS:
            self.close()
        self._calls += 1
        return read_specs(self.process.ask(request(sizes), END))

    def close(self) -> None:
        """End the process; the next call starts it again."""
        self.process.close()
        self._calls = 0


def request(sizes: Sequence[float] | Vector) -> str:
    """The ngspice commands that measure sizes (7,)."""
    values = [
        f"alterparam {name}={float(value)!r}" for name, value in zip(SIZES, sizes, strict=True)
    ]
    return "\n".join(["set numdgt=15", *values, "reset", MEASURES + "destroy all", f"echo {END}\n"])


def check_sizes(sizes: Sequence[float] | Vector) -> None:
    """Require sizes (7,) within the bounds of `SIZES`."""
    for value, (name, size) in zip(sizes, SIZES.items(), strict=True):
        slack = 1e-9 * size.most  # for rounding
        if not size.least - slack <= value <= size.most + slack:
            raise CallFailed(
                "invalid input",
                f"{name} = {value} {size.unit} must be from {size.least} to {size.most}",
            )


def read_specs(answer: str) -> Vector:
    """Parse the specs (4,) from the output of ngspice.

    Raises:
        CallFailed: no operating point, no unity-gain frequency, or a value out of range.
    """
    found = dict(ANSWER.findall(answer))
    if "supply" not in found:
        raise CallFailed("nonconvergence", "there is no operating point", answer)
    missing = [name for name in ("dc", "unity", "turn") if name not in found]
    if missing:
        raise CallFailed("invalid output", f"{', '.join(missing)} not measured", answer)
    try:
        supply, dc, unity, turn = (float(found[n]) for n in ("supply", "dc", "unity", "turn"))
    except ValueError:
        raise CallFailed("invalid output", "a measured value is not a number", answer) from None
    specs = (dc, unity, 180.0 + turn, SUPPLY * supply)
    for name, value, (least, most) in zip(SPECS, specs, RANGES, strict=True):
        if not (math.isfinite(value) and least < value < most):
            raise CallFailed("invalid output", f"{name} = {value} is not from {least} to {most}")
    return np.array(specs)
