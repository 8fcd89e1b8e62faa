"""How fast the tasks of the arm are learnt: steps and CPU seconds to 95 % success.

Every training is a run of `nondiff train` with the preset of its task and strategy, unless a row
says otherwise. It ends when an evaluation of 100 episodes finds 95 % of them solved, or with its
budget. The best model then plays 100 held-out episodes. Steps are those of training;
seconds those of training and its evaluations, with the processes of the environments, without the
start of Python and the last 100 episodes. Where a row has demonstrations, each seed's scripted
expert makes its own, and seconds include what that took.

    python benchmarks/arm_learning.py                            # goes on where it was stopped
    python benchmarks/arm_learning.py --rows "PandaPush sac+her" --seeds 2
    python benchmarks/arm_learning.py --list                     # what there is to measure
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from arm_learning_report import write
from arm_learning_rows import ROWS, Row
from measuring import run
from trainings import outcome, until

SOLVED = 0.95
JUDGING = 100  # episodes
SEEDS_APART = 10**6  # of the demonstrations of two trainings
Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Options:
    """Train on the tasks of the arm over several seeds, and write table and curves."""

    rows: tuple[str, ...] = tuple(row.name for row in ROWS)
    """Which rows, such as "PandaPush sac+her"."""
    seeds: int = 5
    """Trainings a row."""
    out: Path = Path("docs/results")
    """Where arm_learning.json, .md and .png are written; trainings that are there are kept."""
    list: bool = False
    """Print the names of all rows, and end."""


def main(options: Options) -> None:
    """Measure what is missing, keep each training as it comes, print."""
    rows = {row.name: row for row in ROWS}
    if options.list:
        print(*rows, sep="\n")
        return
    unknown = set(options.rows) - set(rows)
    if unknown:
        sys.exit(f"error: unknown rows {sorted(unknown)}; choose from {list(rows)}")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "arm_learning.json"
    results: Results = json.loads(path.read_text()) if path.exists() else {}
    for seed in range(options.seeds):  # a seed of every row before the next, if time runs out
        for name in options.rows:
            if str(seed) not in results.get(name, {}):
                print(f"{name}, seed {seed}", file=sys.stderr)
                results.setdefault(name, {})[str(seed)] = measured(rows[name], seed)
                write(results, path)
    print(write(results, path))


def measured(row: Row, seed: int) -> dict[str, Any]:
    """Train one seed of a row; returns what its run folder says."""
    with tempfile.TemporaryDirectory() as folder:
        shown = demonstrated(row, seed, Path(folder)) if row.demonstrations else None
        command = [sys.executable, "-m", "nondiff", "train", *row.arguments()]
        command += ["--seed", str(seed), "--name", "run", "--runs", folder]
        command += [*until(SOLVED), "--judge-episodes", str(JUDGING)]
        if shown:
            command += ["--demonstrations", shown["folder"]]
        run(command, Path(folder) / "log")
        found = outcome(Path(folder) / "run", SOLVED) | judged(Path(folder) / "run")
    if shown:
        found["demonstrations"] = {"episodes": row.demonstrations, "cpu_seconds": shown["spent"]}
        found["cpu_seconds"] += shown["spent"]
        found["seconds"] += shown["seconds"]
    return found


def demonstrated(row: Row, seed: int, folder: Path) -> dict[str, Any]:
    """Let the expert play for one training; returns where that is and what it took [s]."""
    command = [sys.executable, "-m", "nondiff", "demonstrate", *row.demonstrating()]
    command += ["--seed", str(seed * SEEDS_APART)]
    made, started = folder / "demonstrations", time.perf_counter()
    spent = run([*command, "--out", str(made)], folder / "log")
    return {"folder": str(made), "spent": spent, "seconds": time.perf_counter() - started}


def judged(folder: Path) -> dict[str, float]:
    """Success and return of a run's best model in held-out episodes."""
    result = json.loads((folder / "run.json").read_text())["result"]
    return {"success": result["success"]["value"], "return": result["return_mean"]["value"]}


if __name__ == "__main__":
    main(tyro.cli(Options))
