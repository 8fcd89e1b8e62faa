"""Positions of sizes: log sizes scaled from their bounds to [-1, 1], as policies see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.op_amp.netlist import SIZES

Array = NDArray[np.float64]

_LEAST = np.log([size.least for size in SIZES.values()])
_MOST = np.log([size.most for size in SIZES.values()])


def physical(position: Array) -> Array:
    """Convert positions (..., 7) in [-1, 1] to sizes (..., 7) in the units of `SIZES`."""
    sizes: Array = np.exp((_LEAST + _MOST) / 2 + position * (_MOST - _LEAST) / 2)
    return sizes
