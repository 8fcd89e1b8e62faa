"""What exact resume costs: training with checkpoints at the default interval, and without any.

    python benchmarks/checkpoint_cost.py --output docs/results/checkpoint_cost

Each pair of trainings runs in turn, in alternating order, with the same seed; evaluations are left
out, since they would only dilute the cost. With checkpoints, a segment ends by writing one to disk
(synced), reading it back, building the algorithm anew from it and resetting the environments.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap

from nondiff.agents.presets import find_preset
from nondiff.agents.strategy import Strategy, TrainedPolicy, Training
from nondiff.envs.recipe import EnvRecipe
from nondiff.experiments.checkpoints import CheckpointFolder

TARGET = 1.05
# strategy, environment, segments a training
CASES = (
    ("ppo", "nondiff/PandaReachDense-v0", 3),
    ("sac", "nondiff/PandaReach-v0", 3),
    ("ppo", "CartPole-v1", 5),
)


@dataclass(frozen=True)
class Config:
    """What to measure."""

    repeats: int = 3
    """Pairs of trainings a case."""
    output: Path | None = None
    """Write OUTPUT.json and OUTPUT.md."""


class Silent:
    """Observes nothing."""

    def begin(self, steps: int) -> None:
        """Nothing to do."""

    def after_step(self, steps: int, mean_return: float | None, success: float | None) -> bool:
        return False

    def review(self, steps: int, policy: TrainedPolicy) -> bool:
        return True

    def keep(self, steps: int, policy: TrainedPolicy) -> None:
        """Nothing to do."""

    def record(self, steps: int, metrics: Mapping[str, float]) -> None:
        """Nothing to do."""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)


def seconds(strategy: Strategy, env_id: str, budget: int, seed: int, every: int) -> list[float]:
    """Wall and CPU seconds of a training, which leaves checkpoints on disk `every` so often."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = CheckpointFolder(Path(folder), print, lambda steps: None)
        training = Training(EnvRecipe(env_id), budget, seed, "cpu", every, checkpoints)
        begin = time.perf_counter(), time.process_time()
        strategy.train(training, Silent())
        return [time.perf_counter() - begin[0], time.process_time() - begin[1]]


def measure(name: str, env_id: str, segments: int, repeats: int) -> dict[str, Any]:
    """The ratios of the times with and without checkpoints."""
    strategy = find_preset(name, env_id).strategy
    every = strategy.checkpoint_every
    budget = segments * every
    pairs: list[list[list[float]]] = []
    for repeat in range(repeats + 1):
        intervals = [every, 10 * budget]
        order = intervals if repeat % 2 else intervals[::-1]
        found = {i: seconds(strategy, env_id, budget, repeat, i) for i in order}
        if repeat > 0:  # the first pair warms up
            pairs.append([found[i] for i in intervals])
            print(name, env_id, np.round(pairs[-1], 2).tolist(), file=sys.stderr)
    wall, cpu = np.divide(*np.swapaxes(pairs, 0, 1)).T
    return {
        "strategy": name,
        "env": env_id,
        "checkpoint_every": every,
        "steps": budget,
        "pairs": pairs,
        "wall": interval(wall),
        "cpu": interval(cpu),
    }


def interval(ratios: np.ndarray) -> list[float]:
    """The median with its 95 % bootstrap interval."""
    found = bootstrap((ratios,), np.median, rng=0, method="percentile").confidence_interval
    return [float(np.median(ratios)), float(found.low), float(found.high)]


def table(rows: list[dict[str, Any]]) -> Table:
    """The results as a table."""
    made = Table(box=box.MARKDOWN)
    for heading in ("strategy", "environment", "checkpoint every", "steps", "time", "CPU time"):
        made.add_column(heading)
    for row in rows:
        texts = ["{:.3f} [{:.3f}, {:.3f}]".format(*row[key]) for key in ("wall", "cpu")]
        made.add_row(
            row["strategy"], row["env"], f"{row['checkpoint_every']:,}", f"{row['steps']:,}", *texts
        )
    return made


def main() -> None:
    """Print the ratios, and write them."""
    config = tyro.cli(Config, description=__doc__)
    torch.set_num_threads(1)
    rows = [measure(*case, config.repeats) for case in CASES]
    Console(width=140).print(table(rows))
    print(f"time with checkpoints / without, medians; target at most {TARGET}")
    if config.output is not None:
        config.output.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
        with config.output.with_suffix(".md").open("w") as file:
            file.write(
                "Time of training with checkpoints / without (benchmarks/checkpoint_cost.py)\n"
            )
            Console(file=file, width=140).print(table(rows))


if __name__ == "__main__":
    main()
