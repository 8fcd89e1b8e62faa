"""How fast each strategy solves PandaReach: steps, seconds and seeds, dense and sparse.

A seed counts as solved if the best model, judged after training on seeds that training never saw,
succeeds deterministically in at least 95 of 100 episodes. Seconds are those of training itself,
evaluations included, start-up of Python excluded. Each training is a single segment: the resets
that come with checkpoints would only blur what is compared.

    python benchmarks/reach.py                      # 10 seeds of every row, about an hour
    python benchmarks/reach.py --rows "ppo dense"   # one row
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from trainings import ONE_SEGMENT

from nondiff.experiments.evaluation.statistics import bootstrapped, wilson

SOLVED = 0.95
ENVS = {"dense": "nondiff/PandaReachDense-v0", "sparse": "nondiff/PandaReach-v0"}
STRATEGIES: dict[str, list[str]] = {
    "ppo": ["--strategy", "ppo"],
    "trpo": ["--strategy", "trpo"],
    "a2c": ["--strategy", "a2c"],
    "sac": ["--strategy", "sac", "--her", "False"],
    "td3": ["--strategy", "td3", "--her", "False"],
    "sac+her": ["--strategy", "sac", "--her", "True"],
    "tqc+her": ["--strategy", "tqc", "--her", "True"],
}
ROWS = [f"{strategy} {reward}" for reward in ENVS for strategy in STRATEGIES]


@dataclass(frozen=True)
class Options:
    """Train every strategy on PandaReach over several seeds and print the table."""

    rows: tuple[str, ...] = tuple(ROWS)
    """Which rows, such as "ppo dense"."""
    seeds: int = 10
    """Seeds a row."""
    jobs: int = 1
    """Trainings at a time; above one, the seconds suffer."""
    out: Path = Path("docs/results")
    """Where reach.json and reach.md are written; rows measured earlier are kept."""


def train(row: str, seed: int, runs: Path) -> dict[str, Any]:
    """Train one seed of a row by the `train` command; returns what its run folder says."""
    strategy, reward = row.split()
    name = f"{strategy.replace('+', '-')}-{reward}-{seed}"
    command = [sys.executable, "-m", "nondiff", "train", "--env", ENVS[reward]]
    command += [*STRATEGIES[strategy], "--seed", str(seed), "--name", name, "--runs", str(runs)]
    command += ["--checkpoint-every", str(ONE_SEGMENT)]
    subprocess.run(command, check=True, capture_output=True)
    state = json.loads((runs / name / "run.json").read_text())
    return {
        "seed": seed,
        "steps": state["models"]["best"]["steps"],
        "steps_trained": state["steps"],
        "seconds": state["seconds"],
        "cpu_seconds": state["cpu_seconds"],
        "success": state["result"]["success"]["value"],
    }


def spread(values: list[float], digits: int = 0) -> str:
    """The median with its interval, and the largest value."""
    estimate = bootstrapped(values, np.median)
    low, high, most = (f"{x:,.{digits}f}" for x in (estimate.low, estimate.high, max(values)))
    return f"{estimate.value:,.{digits}f} [{low}, {high}], at most {most}"


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """The results as Markdown."""
    lines = [
        "| strategy | reward | seeds solved | steps | seconds | CPU seconds | success |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in [row for row in ROWS if row in results]:
        seeds = results[row]
        count = sum(seed["success"] >= SOLVED for seed in seeds)
        solved = wilson(count, len(seeds))
        success = np.mean([seed["success"] for seed in seeds])
        cells = [
            *row.split(),
            f"{count} of {len(seeds)} [{solved.low:.0%}, {solved.high:.0%}]",
            spread([seed["steps_trained"] for seed in seeds]),
            spread([seed["seconds"] for seed in seeds], 1),
            spread([seed["cpu_seconds"] for seed in seeds], 1),
            f"{success:.1%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(options: Options) -> None:
    """Measure, write and print."""
    path = options.out / "reach.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        sys.exit(f"error: unknown rows {sorted(unknown)}; choose from {ROWS}")
    jobs = [(row, seed) for row in options.rows for seed in range(options.seeds)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        done = pool.map(lambda job: train(*job, Path(folder)), jobs)
        measured = list(track(done, "training", len(jobs), console=Console(stderr=True)))
    for row in options.rows:
        found = [m for (r, _), m in zip(jobs, measured, strict=True) if r == row]
        results[row] = found
    options.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    text = table(results)
    heading = "Medians with 95 % intervals, and the slowest seed; `python benchmarks/reach.py`.\n\n"
    (options.out / "reach.md").write_text(f"# PandaReach\n\n{heading}{text}")
    sys.stdout.write(text)


if __name__ == "__main__":
    main(tyro.cli(Options))
