"""The reference of OpAmp: CMA-ES that designs each request anew, without a policy.

Each held-out request has a search of its own over the seven sizes, from the centre, with the same
simulator and the same shortfall as the environment. A request counts as met at n calls if the
search has met it by then. A policy, in contrast, is trained once and makes one episode of
calls for a request. Results go to docs/results/op_amp_references.json.

    python benchmarks/op_amp_references.py       # 100 requests, at most 500 calls each
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

from nondiff.envs.op_amp.netlist import SIZES
from nondiff.envs.op_amp.op_amp import OpAmp
from nondiff.envs.op_amp.requests import read_requests

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SHOWN = (20, 50, 100, 200, 300, 500)  # calls a request
FAILED = 100.0  # loss of a design that can't be simulated


@dataclass(frozen=True)
class Options:
    """Design each request by CMA-ES."""

    requests: int = 100
    """The first so many of the held-out ones."""
    calls: int = 500
    """At most, for each."""
    sigma: float = 0.4
    """Initial deviation of a size's position in [-1, 1]."""


def main() -> None:
    """Write how many requests are met by how many calls."""
    options = tyro.cli(Options, description=__doc__)
    box = OpAmp("held-out")
    needed = [_search(box, row, options) for row in range(options.requests)]
    box.close()
    met = {count: float(np.mean([n <= count for n in needed])) for count in SHOWN}
    requests, _ = read_requests("held-out")
    result = {
        "requests": options.requests,
        "of": len(requests),
        "met_by_calls_a_request": met,
        "median_calls": float(np.median(needed)),
        "calls": [n if np.isfinite(n) else None for n in needed],
    }
    (RESULTS / "op_amp_references.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "calls"}, indent=1))


def _search(box: OpAmp, row: int, options: Options) -> float:
    """Calls until a request is met; infinite if it is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cmaes import CMA

    start = box.pool()
    bounds = np.tile([-1.0, 1.0], (len(SIZES), 1))
    search = CMA(np.zeros(len(SIZES)), options.sigma, bounds=bounds, seed=row)
    calls = 0
    while calls < options.calls:
        asked = np.array([search.ask() for _ in range(search.population_size)])
        found = box.transition(_from(asked), np.zeros_like(asked))
        losses, success = _judged(box, found, start.context[row])
        if success.any():
            return calls + 1 + int(np.argmax(success))
        calls += len(asked)
        search.tell(list(zip(asked, losses, strict=True)))
    return np.inf


def _from(position: np.ndarray) -> np.ndarray:
    """States (n, 11) at positions (n, 7), whose specs the simulator is not told."""
    return np.concatenate([position, np.zeros((len(position), 4))], axis=1)


def _judged(box: OpAmp, outcome: np.ndarray, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses (n,), and which requests were met (n,)."""
    losses, success = np.full(len(outcome), FAILED), np.zeros(len(outcome), bool)
    good = np.isfinite(outcome).all(axis=1)
    found = torch.from_numpy(outcome[good])
    parts = (found, found, found, torch.from_numpy(np.tile(context, (int(good.sum()), 1))))
    losses[good] = -box.reward(*parts).numpy()
    success[good] = box.success(*parts).numpy()
    return losses, success


if __name__ == "__main__":
    main()
