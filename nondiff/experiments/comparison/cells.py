"""The cells of a comparison: one training each, in a run folder of its own."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nondiff.agents.strategy import Strategy
from nondiff.errors import InvalidOptionError, RunError
from nondiff.experiments.commands.train import TrainOptions, planned
from nondiff.experiments.comparison.train_args import TrainArg, with_train_args
from nondiff.experiments.run.file_names import CONFIG
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.locks import NAME
from nondiff.files.safe_path import SafePath

RUNS, RECORDS, LOGS = "runs", "cells", "logs"  # folders of a comparison
EVALUATIONS = 10  # evaluations spread over a cell's budget


@dataclass(frozen=True)
class Cell:
    """One training of a comparison."""

    env: str
    strategy: str
    budget: int
    seed: int

    @property
    def name(self) -> str:
        """Of its run folder."""
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", self.env.removeprefix("nondiff/")).strip("-")
        return f"{plain}-{self.strategy}-b{self.budget}-s{self.seed}"

    def __str__(self) -> str:
        return f"{self.strategy} on {self.env}, {self.budget:,} calls, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """What a comparison trains.

    Args:
        folder: of the comparison.
        cells: in the order in which they are trained.
        train_args: further options of trainings.
    """

    folder: Path
    cells: tuple[Cell, ...]
    train_args: tuple[TrainArg, ...] = ()

    def training(self, cell: Cell) -> tuple[TrainOptions, Strategy]:
        """What a cell is trained with.

        Raises:
            NondiffError: an option is wrong.
        """
        options = TrainOptions(
            env=cell.env,
            strategy=cell.strategy,
            budget=cell.budget,
            seed=cell.seed,
            name=cell.name,
            runs=self.folder / RUNS,
            eval_every=math.ceil(cell.budget / EVALUATIONS),
            held_out_episodes=1,
            stop_at_success=None,
        )
        return with_train_args(options, self.train_args)

    @property
    def files(self) -> SafePath:
        """The folder of the comparison, in which no link is followed."""
        return SafePath(self.folder)

    def run_folder(self, cell: Cell) -> SafePath:
        """Where a cell is trained."""
        return run_folder(self.files, cell.name)

    def record_path(self, cell: Cell) -> SafePath:
        """Where the result of a cell is recorded."""
        return record_path(self.files, cell.name)

    def log_path(self, cell: Cell) -> SafePath:
        """What a cell's processes printed."""
        return self.files / LOGS / f"{cell.name}.log"

    def wanted(self, cell: Cell) -> dict[str, Any]:
        """The part of a run's configuration that a cell's must have.

        Raises:
            NondiffError: an option is wrong.
        """
        return json.loads(json.dumps(planned(*self.training(cell)).compared()))  # type: ignore[no-any-return]


def run_folder(comparison: SafePath, name: str) -> SafePath:
    """Where the cell of a name is trained."""
    return comparison / RUNS / name


def record_path(comparison: SafePath, name: str) -> SafePath:
    """Where the result of the cell of a name is recorded."""
    return comparison / RECORDS / f"{name}.json"


def plan_cells(
    folder: Path,
    envs: Sequence[str],
    strategies: Sequence[str],
    budgets: Sequence[int],
    seeds: int,
    train_args: Sequence[str] = (),
) -> Plan:
    """Every environment with every strategy, budget and seed; the first seed of all comes first.

    Raises:
        NondiffError: an option is wrong, or a run folder was made with others.
    """
    cells = [
        Cell(env, strategy, budget, seed)
        for seed in range(seeds)
        for budget in sorted(set(budgets))
        for env in dict.fromkeys(envs)
        for strategy in dict.fromkeys(strategies)
    ]
    _check_names(cells)
    plan = Plan(folder, tuple(cells), tuple(map(TrainArg.parse, train_args)))
    for cell in cells:
        _check_made(plan, cell)
    return plan


def _check_names(cells: Sequence[Cell]) -> None:
    names: dict[str, Cell] = {}
    for cell in cells:
        other = names.setdefault(cell.name, cell)
        if other != cell:
            raise InvalidOptionError(f"{cell.env} and {other.env} give runs of the same name")
        if not NAME.fullmatch(cell.name):
            raise InvalidOptionError(f"{cell.name!r}, made of {cell.env!r}, can't name a run")


def _check_made(plan: Plan, cell: Cell) -> None:
    """Refuse a run folder that was made with other options than this comparison's."""
    wanted, folder = plan.wanted(cell), plan.run_folder(cell)
    if folder.kind() is None or not (folder / CONFIG).is_anything():
        return
    run = Run.open(folder)
    found = run.config.compared() | {"budget": run.asked.budget}
    found["evaluation"] = {**found["evaluation"], **_stops(run)}
    ours, theirs = _flat(wanted), _flat(found)
    differing = [
        f"{name} {theirs.get(name)!r}, not {ours.get(name)!r}"
        for name in {**ours, **theirs}
        if ours.get(name) != theirs.get(name)
    ]
    if differing:
        raise RunError(
            f"{folder} was made with {'; '.join(differing)}: choose another --folder, or remove it"
        )


def _stops(run: Run) -> dict[str, Any]:
    asked = run.asked
    return {"stop_at_success": asked.stop_at_success, "stop_at_return": asked.stop_at_return}


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with one level of groups dissolved: {"evaluation.every": 10, ...}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": part for name, part in value.items()}
        else:
            flat[key] = value
    return flat


def as_json(cell: Cell) -> dict[str, Any]:
    """A cell as JSON types."""
    return asdict(cell)
