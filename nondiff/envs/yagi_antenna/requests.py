"""Sample feasible requests: gains below the best known gain for the band and resistance."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator
from torch import Tensor

from nondiff.envs.yagi_antenna.trade_off import BANDWIDTHS, BEST_GAINS, FREQUENCIES, RESISTANCES

Array = NDArray[np.float64]

FREQUENCY = (FREQUENCIES[0], FREQUENCIES[-1])  # [MHz], uniform in its logarithm
BANDWIDTH = (BANDWIDTHS[0], BANDWIDTHS[-1])  # share of the frequency, uniform
RESISTANCE = (RESISTANCES[0], RESISTANCES[-1])  # [ohm], uniform in its logarithm
MODESTY = (0.2, 0.8)  # [dB] of a requested gain below the best one, uniform
GAIN = (8.0, 12.0)  # [dBi] range that is scaled to [-1, 1]


def best_gain(frequency: Array, bandwidth: Array, resistance: Array) -> Array:
    """The best known gains (n,) [dBi], interpolated in bandwidth, log frequency, log resistance."""
    grid = (np.log(FREQUENCIES), BANDWIDTHS, np.log(RESISTANCES))
    table = RegularGridInterpolator(grid, np.array(BEST_GAINS))
    found: Array = table(np.stack([np.log(frequency), bandwidth, np.log(resistance)], axis=1))
    return found


def sample_requests(n: int, rng: np.random.Generator) -> Array:
    """Sample requests (n, 4): frequency [MHz], bandwidth, gain [dBi], resistance [ohm]."""
    share = rng.random((n, 4))
    frequency = FREQUENCY[0] * (FREQUENCY[1] / FREQUENCY[0]) ** share[:, 0]
    bandwidth = BANDWIDTH[0] + (BANDWIDTH[1] - BANDWIDTH[0]) * share[:, 1]
    resistance = RESISTANCE[0] * (RESISTANCE[1] / RESISTANCE[0]) ** share[:, 2]
    modesty = MODESTY[0] + (MODESTY[1] - MODESTY[0]) * share[:, 3]
    gain = best_gain(frequency, bandwidth, resistance) - modesty
    return np.stack([frequency, bandwidth, gain, resistance], axis=1)


def scaled(request: Tensor) -> Tensor:
    """Scale requests (n, 4) to about [-1, 1]; frequency and resistance on a log scale."""
    logs = request.clone()
    logs[:, [0, 3]] = request[:, [0, 3]].log()
    ranges = np.array([np.log(FREQUENCY), BANDWIDTH, GAIN, np.log(RESISTANCE)]).T
    low, high = (torch.from_numpy(side).to(request) for side in ranges)
    return 2 * (logs - low) / (high - low) - 1
