"""The reference of YagiAntenna: CMA-ES that designs each request anew, without a policy.

Each held-out request has a search of its own over the nine sizes, from the centre, with the
environment's own calls and rewards. A request counts as met at n calls if the search has met it by
then. A policy, in contrast, is trained once, and makes no call for a request: its training's calls
spread over the held-out requests are what a search may be compared with.
Results go to docs/results/yagi_antenna_references.json.

    python benchmarks/yagi_references.py       # 64 requests, at most 500 calls each
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from cmaes import CMA

from nondiff.black_box import Meter
from nondiff.envs.yagi_antenna.yagi_antenna import YagiAntenna

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SHOWN = (2, 6, 20, 50, 100, 200, 300, 500)  # calls a request


@dataclass(frozen=True)
class Options:
    """Design each request by CMA-ES."""

    requests: int = 64
    """The first so many of the held-out ones."""
    calls: int = 500
    """At most, for each."""
    sigma: float = 0.4
    """Initial deviation of a size in halves of its range."""


def main() -> None:
    """Write how many requests are met by how many calls."""
    options = tyro.cli(Options, description=__doc__)
    meter = Meter(YagiAntenna("held-out"))
    needed = [search(meter, row, options) for row in range(options.requests)]
    met = {n: float(np.mean([calls <= n for calls in needed])) for n in SHOWN if n <= options.calls}
    result = {
        "requests": options.requests,
        "of": len(meter.box.pool().context),  # type: ignore[attr-defined]
        "met_by_calls_a_request": met,
        "median_calls": float(np.median(needed)),
        "calls": [n if np.isfinite(n) else None for n in needed],
    }
    (RESULTS / "yagi_antenna_references.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "calls"}, indent=1))


def search(meter: Meter, row: int, options: Options) -> float:
    """Calls until a request of the pool is met; infinite if it is not."""
    box = meter.box
    start = box.pool()  # type: ignore[attr-defined]
    size = box.action_space.shape[0]
    bounds = np.tile([-1.0, 1.0], (size, 1))
    searching = CMA(np.zeros(size), options.sigma, bounds=bounds, seed=row)
    population = searching.population_size
    state = np.tile(start.state[row], (population, 1))
    context = torch.from_numpy(np.tile(start.context[row], (population, 1)))
    for calls in range(0, options.calls - population + 1, population):
        asked = np.array([searching.ask() for _ in range(population)])
        outcome = torch.from_numpy(np.nan_to_num(meter.transition(state, asked), nan=-1.0))
        parts = (torch.from_numpy(state), torch.from_numpy(asked), outcome, context)
        met = box.success(*parts).numpy()
        if met.any():
            return calls + 1.0 + int(np.argmax(met))
        searching.tell(list(zip(asked, -box.reward(*parts).numpy(), strict=True)))
    return np.inf


if __name__ == "__main__":
    main()
