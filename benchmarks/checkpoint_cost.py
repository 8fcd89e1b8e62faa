"""What exact resume costs: the share of a training's time that its checkpoints take.

    python benchmarks/checkpoint_cost.py --output docs/results/checkpoint_cost

At the default interval, a segment ends by writing a checkpoint to disk (synced), reading it back,
building the algorithm anew from it and resetting the environments. All of that is timed within
trainings, up to the next segment's first step, against the rest of the same training: so a busy
machine slows both alike. Evaluations are left out, since they would only dilute the cost.
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
from measuring import interval
from rich import box
from rich.console import Console
from rich.table import Table

from nondiff.agents.presets import find_preset
from nondiff.agents.strategy import EndReason, State, Strategy, TrainedPolicy, Training
from nondiff.env_recipe import EnvRecipe
from nondiff.experiments.run.checkpoints import CheckpointFolder

TARGET = 1.05
SEGMENTS = 3  # a training, with two checkpoints between them
CASES = (
    ("ppo", "nondiff/PandaReachDense-v0"),
    ("sac", "nondiff/PandaReach-v0"),
    ("ppo", "CartPole-v1"),
)
Moment = tuple[float, float]  # wall and CPU seconds


@dataclass(frozen=True)
class Config:
    """What to measure."""

    repeats: int = 3
    """Trainings a case, after one of a single segment that warms up."""
    output: Path | None = None
    """Write OUTPUT.json and OUTPUT.md."""


def now() -> Moment:
    """The present moment."""
    return time.perf_counter(), time.process_time()


class Stopwatch(CheckpointFolder):
    """Observes a training, and times what lies between its segments."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, print, lambda steps: None)
        self.between = np.zeros(2)
        self._saving: Moment | None = None
        self._first: Moment | None = None
        self._last: Moment = (0.0, 0.0)

    def save(self, state: State) -> None:
        self._saving = now()
        super().save(state)

    def begin(self, steps: int, evaluated: bool = True) -> bool:
        return False

    def after_step(self, steps: int, mean_return: float | None, success: float | None) -> bool:
        self._last = now()
        self._first = self._first or self._last
        if self._saving is not None:
            self.between += np.subtract(self._last, self._saving)
            self._saving = None
        return False

    def evaluate(self, steps: int, policy: TrainedPolicy) -> EndReason | None:
        return None

    def keep(self, steps: int, policy: TrainedPolicy) -> None:
        """Nothing to do."""

    def record(self, steps: int, metrics: Mapping[str, float]) -> None:
        """Nothing to do."""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)

    def ratios(self) -> np.ndarray:
        """Wall and CPU time of the training with its checkpoints / without."""
        assert self._first is not None
        whole = np.subtract(self._last, self._first)
        return whole / (whole - self.between)


def timed(strategy: Strategy, env_id: str, segments: int, seed: int) -> np.ndarray:
    """The ratios of one training."""
    every = strategy.checkpoint_every
    with tempfile.TemporaryDirectory() as folder:
        watch = Stopwatch(Path(folder))
        training = Training(EnvRecipe(env_id), segments * every, seed, "cpu", every, watch)
        strategy.train(training, watch)
        return watch.ratios()


def measure(name: str, env_id: str, repeats: int) -> dict[str, Any]:
    """The ratios of a case."""
    strategy = find_preset(name, env_id).strategy
    timed(strategy, env_id, 1, seed=0)
    ratios = np.array([timed(strategy, env_id, SEGMENTS, seed) for seed in range(repeats)])
    print(name, env_id, ratios.tolist(), file=sys.stderr)
    return {
        "strategy": name,
        "env": env_id,
        "checkpoint_every": strategy.checkpoint_every,
        "steps": SEGMENTS * strategy.checkpoint_every,
        "ratios": ratios.tolist(),
        "wall": interval(ratios[:, 0]),
        "cpu": interval(ratios[:, 1]),
    }


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
