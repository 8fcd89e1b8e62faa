"""What is requested: a gain, a unity-gain frequency and a phase margin at least, a power at most.

Specs are compared in dB, logarithms to base 10 of Hz and W, and degrees.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.op_amp.netlist import SIZES

Array = NDArray[np.float64]
Pool = Literal["training", "held-out"]

REQUESTS = Path(__file__).with_name("requests.csv")  # by benchmarks/op_amp_requests.py
COLUMNS = ("held_out", "gain_db", "log10_hz", "phase_margin_degree", "log10_watt", *SIZES)
# One unit of shortfall: 20 dB, a decade, 45 degrees, a decade; negative where less is better.
UNITS = np.array([20.0, 1.0, 45.0, -1.0])
# How far a request is below what the design measured that it was made from.
RELAXED = np.array([1.0, 0.05, 3.0, -0.05])


def natural(specs: Array) -> Array:
    """Specs (..., 4) in dB, Hz, degrees and W, with the logarithms of Hz and W."""
    return np.stack(
        [specs[..., 0], np.log10(specs[..., 1]), specs[..., 2], np.log10(specs[..., 3])], axis=-1
    )


@lru_cache
def read_requests(pool: Pool) -> tuple[Array, Array]:
    """The requests (requests, 4) of a pool, and positions (requests, 7) of designs that meet them.

    Both are shared, and not to be written to.
    """
    rows = np.loadtxt(REQUESTS, delimiter=",", skiprows=1)
    rows = rows[rows[:, 0] == (pool == "held-out")]
    requests, designs = rows[:, 1 : 1 + len(UNITS)], rows[:, 1 + len(UNITS) :]
    requests.setflags(write=False)
    designs.setflags(write=False)
    return requests, designs
