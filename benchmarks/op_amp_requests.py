"""Makes the requests of OpAmp: nondiff/envs/op_amp/requests.csv, from designs drawn at random.

A request is what a drawn design measures, a little relaxed, so that it can be met. Only designs
that no other one drawn beats in all specs by more than that are taken, so that no design meets many
requests. The file holds each request beside the design that meets it.

    python benchmarks/op_amp_requests.py        # 40,000 calls, about two minutes
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from nondiff.envs.op_amp.netlist import SIZES
from nondiff.envs.op_amp.requests import COLUMNS, RELAXED, REQUESTS, UNITS, natural
from nondiff.envs.op_amp.simulator import Simulator
from nondiff.envs.op_amp.sizing import physical
from nondiff.processes.sandbox import CallFailed, ThreadPool

Array = NDArray[np.float64]

# What a sane design measures: gain [dB], log10 Hz, phase margin [degree], log10 W.
LEAST = np.array([60.0, 6.0, 45.0, -5.0])
MOST = np.array([100.0, 7.7, 80.0, -2.7])
TRAINING, HELD_OUT = 1024, 512


@dataclass(frozen=True)
class Options:
    """Draw designs and write the requests."""

    designs: int = 40_000
    """Drawn and simulated."""
    workers: int = 2
    """Simulators at a time."""
    seed: int = 0
    """Of the designs and the choice among them."""
    path: Path = REQUESTS
    """What is written."""


def main() -> None:
    """Write the file, and say how hard the requests are."""
    options = tyro.cli(Options, description=__doc__)
    rng = np.random.default_rng(options.seed)
    designs = np.round(rng.uniform(-1, 1, (options.designs, len(SIZES))), 2)
    pool: ThreadPool[Array, Array] = ThreadPool(Simulator, options.workers)
    results = pool.map(list(physical(designs)))
    pool.close()
    failed = np.array([isinstance(result, CallFailed) for result in results])
    print(f"{failed.mean():.2%} of {len(designs):,} designs failed")
    designs = designs[~failed]
    specs = natural(np.array([r for r in results if not isinstance(r, CallFailed)]))
    sane = ((specs > LEAST) & (specs < MOST)).all(axis=1)
    candidates = np.flatnonzero(sane)
    best = candidates[_undominated(specs[candidates], specs)]
    print(f"{sane.sum():,} are sane, {len(best):,} of them undominated")
    chosen = rng.permutation(best)[: TRAINING + HELD_OUT]
    rows = np.concatenate([_rounded(specs[chosen] - RELAXED), designs[chosen]], axis=1)
    pools = np.arange(len(chosen)) < len(chosen) * TRAINING // (TRAINING + HELD_OUT)
    np.savetxt(
        options.path,
        np.column_stack([~pools, rows]),
        fmt=["%d", "%.2f", "%.4f", "%.2f", "%.4f", *["%.2f"] * len(SIZES)],
        header=",".join(COLUMNS),
        delimiter=",",
        comments="",
    )
    _say_how_hard(specs, rows[~pools, : len(LEAST)])


def _undominated(candidates: Array, specs: Array) -> NDArray[np.bool_]:
    """Which candidates (n, 4) no design beats by RELAXED / 2 in every spec."""
    ahead = candidates * np.sign(UNITS) + np.abs(RELAXED) / 2
    oriented = specs * np.sign(UNITS)
    return np.array([not (oriented > row).all(axis=1).any() for row in ahead])


def _rounded(requests: Array) -> Array:
    """Rounded to the file's digits, to the side of what is easier."""
    scale = np.array([1e2, 1e4, 1e2, 1e4])
    rounded = np.where(UNITS > 0, np.floor(requests * scale), np.ceil(requests * scale))
    return np.asarray(rounded / scale, np.float64)


def _say_how_hard(specs: Array, requests: Array) -> None:
    met = np.array([((design - requests) * UNITS >= 0).all(axis=1).mean() for design in specs])
    print(f"{len(requests)} held-out requests; one design meets at most {met.max():.1%} of them")
    for name, column in zip(COLUMNS[1:], requests.T, strict=False):
        print(name, np.percentile(column, [0, 25, 50, 75, 100]).round(3).tolist())


if __name__ == "__main__":
    main()
