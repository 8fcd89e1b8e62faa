"""Requests: a minimum gain, unity-gain frequency and phase margin, and a maximum power.

Specs are compared in dB, log10 of Hz, degrees and log10 of W.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.op_amp.netlist import SIZES

Array = NDArray[np.float64]
ContextPool = Literal["training", "held-out"]

REQUESTS = Path(__file__).with_name("requests.csv")  # made by benchmarks/op_amp_requests.py
COLUMNS = ("held_out", "gain_db", "log10_hz", "phase_margin_degree", "log10_watt", *SIZES)
# One unit of shortfall: 20 dB, a decade, 45 degrees, a decade; negative if less is better.
UNITS = np.array([20.0, 1.0, 45.0, -1.0])
# Margin between the specs of the design that a request was made from and the request.
RELAXED = np.array([1.0, 0.05, 3.0, -0.05])


def natural(specs: Array) -> Array:
    """Convert specs (..., 4) in dB, Hz, degrees and W to dB, log10 Hz, degrees and log10 W."""
    return np.stack(
        [specs[..., 0], np.log10(specs[..., 1]), specs[..., 2], np.log10(specs[..., 3])], axis=-1
    )


@lru_cache
def read_requests(pool: ContextPool) -> tuple[Array, Array]:
    """Read a pool's requests (requests, 4), and positions (requests, 7) of designs that meet them.

    Both arrays are cached and read-only.
    """
    rows = np.loadtxt(REQUESTS, delimiter=",", skiprows=1)
    rows = rows[rows[:, 0] == (pool == "held-out")]
    requests, designs = rows[:, 1 : 1 + len(UNITS)], rows[:, 1 + len(UNITS) :]
    requests.setflags(write=False)
    designs.setflags(write=False)
    return requests, designs
