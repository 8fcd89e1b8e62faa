"""Sizes as a policy moves them: logarithms between the bounds, from -1 to 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.op_amp.netlist import SIZES

Array = NDArray[np.float64]

_LEAST = np.log([size.least for size in SIZES.values()])
_MOST = np.log([size.most for size in SIZES.values()])


def physical(position: Array) -> Array:
    """The sizes (..., 7), in the units of `SIZES`, of positions (..., 7) in [-1, 1]."""
    sizes: Array = np.exp((_LEAST + _MOST) / 2 + position * (_MOST - _LEAST) / 2)
    return sizes
