"""The best gains of YagiAntenna's five rods, from which its requests keep a distance.

CMA-ES searches for each frequency, bandwidth and feed resistance of a grid by itself, some seeds
each, for the largest least gain over the band at a VSWR of at most 1.5. The tables become
nondiff/envs/yagi_antenna/trade_off.py; environments only read it.

    python benchmarks/yagi_trade_off.py                  # 72,000 calls, about 15 minutes of CPU
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from cmaes import CMA
from numpy.typing import NDArray

from nondiff.envs.yagi_antenna import trade_off
from nondiff.envs.yagi_antenna.yagi_antenna import (
    MAX_REFLECTION,
    SAMPLES,
    YagiAntenna,
    reflections,
)

Array = NDArray[np.float64]

FREQUENCIES = (100.0, 212.0, 450.0)  # [MHz]
BANDWIDTHS = (0.01, 0.03, 0.05, 0.07)
RESISTANCES = (30.0, 47.4, 75.0)  # [ohm]
SIGMA, POPULATION = 0.4, 12
PER_REFLECTION = 20.0  # [dB] that a reflection of 1 too many costs
GRIDS = ("FREQUENCIES", "BANDWIDTHS", "RESISTANCES")
UNITS = ("[MHz]", "share of the frequency", "[ohm]")


@dataclass(frozen=True)
class Options:
    """Search the grid and write the table."""

    calls: int = 1_000
    """Calls of nec2c a search."""
    seeds: int = 2
    """Searches of each point of the grid, of which the best counts."""


def best_gain(box: YagiAntenna, point: tuple[float, float, float], calls: int, seed: int) -> float:
    """The largest least gain [dBi] found at a frequency [MHz], bandwidth and resistance [ohm]."""
    frequency, bandwidth, resistance = point
    size = box.action_space.shape[0]
    search = CMA(np.zeros(size), SIGMA, np.tile([-1.0, 1.0], (size, 1)), 100, seed, POPULATION)
    best = -np.inf
    for _ in range(calls // POPULATION):
        asked = np.array([search.ask() for _ in range(POPULATION)])
        outcome = box.transition(np.tile([frequency, bandwidth], (POPULATION, 1)), asked)
        context = torch.tensor([[frequency, bandwidth, 0.0, resistance]]).double()
        excess = reflections(torch.from_numpy(outcome), context).numpy().max(axis=1)
        excess = np.maximum(0.0, excess - MAX_REFLECTION)
        gains = outcome[:, :SAMPLES].min(axis=1) - PER_REFLECTION * excess
        search.tell([(a, -g) for a, g in zip(asked, gains, strict=True)])
        best = max(best, gains.max())
    return float(best)


def write(table: list[list[list[float]]]) -> None:
    """Replace the module that holds the table."""
    text = f'"""{trade_off.__doc__}"""\n\nfrom __future__ import annotations\n\n'
    for name, unit in zip(GRIDS, UNITS, strict=True):
        text += f"{name} = {globals()[name]}  # {unit}\n"
    text += "\n# Minimum gains over the band [dBi], by frequency, bandwidth and resistance.\n"
    blocks = json.dumps(table).replace("[", "(").replace("]", ")").replace(")), ((", ")),\n    ((")
    text += "BEST_GAINS = (\n    " + blocks[1:-1].replace("), (", "),\n     (") + ",\n)\n"
    Path(str(trade_off.__file__)).write_text(text)


def main(options: Options) -> None:
    """Search, print and write."""
    box = YagiAntenna()
    found = {}
    for point in itertools.product(FREQUENCIES, BANDWIDTHS, RESISTANCES):
        gains = [best_gain(box, point, options.calls, seed) for seed in range(options.seeds)]
        found[point] = round(max(gains), 2)
        print(*point, *(f"{gain:.2f}" for gain in gains), flush=True)
    write([[[found[f, b, r] for r in RESISTANCES] for b in BANDWIDTHS] for f in FREQUENCIES])


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
