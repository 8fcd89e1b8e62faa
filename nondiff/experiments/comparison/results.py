"""The results of a comparison: a row for each environment, strategy and budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nondiff.experiments.comparison.cell_result import CellResult, read_record
from nondiff.experiments.comparison.cells import Cell, Plan, as_json
from nondiff.experiments.comparison.references import Reference, ReferenceRow, sum_up
from nondiff.experiments.evaluation.statistics import Estimate, median_calls, pooled, stratified
from nondiff.experiments.run.file_names import METRICS
from nondiff.experiments.run.metrics import EVALUATION, Rows, read_metrics, series

TARGET_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of all evaluations at the largest budgets
RETURN = f"{EVALUATION}/return_mean"


@dataclass(frozen=True)
class Row:
    """The seeds of one strategy at one budget on one environment, summed up.

    Args:
        env: the environment.
        strategy: what trained.
        budget: calls that each training might make.
        seed_scores: mean return of each seed over its held-out episodes.
        score: interquartile mean of those, with its stratified-bootstrap interval.
        median: of all episodes; seeds are drawn again for its interval.
        mean: of all episodes, likewise.
        episodes: of all seeds together.
        failed: how many of them failed.
        success: share of them that succeeded; None where it is not reported.
        calls: that a training made, on average.
        evaluation_calls: that evaluations during a training made beside, on average.
        test_calls: that a trained policy makes to answer.
        cpu_seconds: of a training, evaluations included, on average.
    """

    env: str
    strategy: str
    budget: int
    seed_scores: list[float]
    score: Estimate
    median: Estimate
    mean: Estimate
    episodes: int
    failed: int
    success: float | None
    calls: float
    evaluation_calls: float
    test_calls: int
    cpu_seconds: float


@dataclass(frozen=True)
class Reached:
    """After how many calls the seeds of a strategy reached a mean return in evaluation.

    Args:
        env: the environment.
        strategy: what trained, at its largest budget.
        target: mean return.
        calls: of each seed; None: it never did.
        spent: calls that each seed made in all.
        median_calls: by Kaplan and Meier; None where fewer than half get there.
    """

    env: str
    strategy: str
    target: float
    calls: list[float | None]
    spent: list[int]
    median_calls: float | None


@dataclass(frozen=True)
class Missing:
    """A cell without a result."""

    cell: Cell
    state: str
    error: str


@dataclass(frozen=True)
class Results:
    """All that a report needs."""

    rows: list[Row]
    references: list[ReferenceRow]
    reached: list[Reached]
    missing: list[Missing]
    evaluated: dict[Cell, CellResult]
    evaluations: dict[Cell, Rows]

    def envs(self) -> list[str]:
        """The environments with results, as they were given."""
        return list(dict.fromkeys(row.env for row in self.rows))

    def strategies(self) -> list[str]:
        """The strategies with results, as they were given."""
        return list(dict.fromkeys(row.strategy for row in self.rows))

    def of(self, env: str, strategy: str | None = None) -> list[Row]:
        """The rows of an environment, or of one strategy on it, by budget."""
        return [row for row in self.rows if row.env == env and strategy in (None, row.strategy)]

    def curves(self, env: str, strategy: str) -> list[Rows]:
        """The metrics of each seed at the largest budget."""
        return [self.evaluations[cell] for cell in largest(self.evaluated, env, strategy)]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types, without single episodes, which the records of cells hold."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "references": [asdict(row) for row in self.references],
            "calls_to_targets": [asdict(one) for one in self.reached],
            "missing": [
                {**as_json(one.cell), "state": one.state, "error": one.error}
                for one in self.missing
            ],
        }


def collect(plan: Plan, references: Sequence[Reference], targets: Sequence[float]) -> Results:
    """Summarize the cells of a comparison.

    Raises:
        RunError: a record or a table of metrics is damaged.
    """
    evaluated: dict[Cell, CellResult] = {}
    missing: list[Missing] = []
    for cell in plan.cells:
        record = read_record(plan.record_path(cell))
        if record is None:
            missing.append(Missing(cell, "interrupted", "the same command resumes it"))
        elif record["state"] == "failed":
            missing.append(Missing(cell, record["state"], record["error"]))
        else:
            evaluated[cell] = record
    evaluations = {cell: read_metrics(plan.run_folder(cell) / METRICS) for cell in evaluated}
    # Environments and strategies as they were given, budgets as they grow.
    kinds = sorted(
        dict.fromkeys((cell.env, cell.strategy, cell.budget) for cell in evaluated),
        key=lambda kind: (_place(plan, "env", kind[0]), _place(plan, "strategy", kind[1]), kind[2]),
    )
    rows = [_row(*kind, evaluated) for kind in kinds]
    pairs = list(dict.fromkeys((row.env, row.strategy) for row in rows))
    reached = [
        _reached(env, strategy, target, evaluated, evaluations)
        for env, strategy in pairs
        for target in targets or _targets(env, evaluated, evaluations)
    ]
    summed = [sum_up(reference) for reference in references]
    return Results(rows, summed, reached, missing, evaluated, evaluations)


def largest(evaluated: dict[Cell, CellResult], env: str, strategy: str) -> list[Cell]:
    """The cells of a strategy on an environment at its largest budget."""
    own = [cell for cell in evaluated if (cell.env, cell.strategy) == (env, strategy)]
    budget = max(cell.budget for cell in own)
    return [cell for cell in own if cell.budget == budget]


def _place(plan: Plan, name: str, value: str) -> int:
    return [getattr(cell, name) for cell in plan.cells].index(value)


def _row(env: str, strategy: str, budget: int, evaluated: dict[Cell, CellResult]) -> Row:
    kind = (env, strategy, budget)
    own = [j for c, j in evaluated.items() if (c.env, c.strategy, c.budget) == kind]
    returns = np.array([one["returns"] for one in own])  # (seeds, episodes)
    scores = returns.mean(axis=1)
    rated = [one["success"] for one in own if one["success"] is not None]
    return Row(
        *kind,
        seed_scores=scores.tolist(),
        score=stratified(scores[:, None]),
        median=pooled(returns),
        mean=pooled(returns, np.mean),
        episodes=returns.size,
        failed=int(np.sum([one["failed"] for one in own])),
        success=float(np.mean(rated)) if len(rated) == len(own) else None,
        calls=float(np.mean([one["steps"] for one in own])),
        evaluation_calls=float(np.mean([one["evaluation_calls"] for one in own])),
        test_calls=max(one["test_calls"] for one in own),
        cpu_seconds=float(np.mean([one["cpu_seconds"] for one in own])),
    )


def _targets(
    env: str, evaluated: dict[Cell, CellResult], evaluations: dict[Cell, Rows]
) -> list[float]:
    """Mean returns of some and not of all evaluations, over all strategies alike."""
    strategies = dict.fromkeys(cell.strategy for cell in evaluated if cell.env == env)
    cells = [cell for strategy in strategies for cell in largest(evaluated, env, strategy)]
    returns = [value for cell in cells for value in series(evaluations[cell], RETURN)[1]]
    return np.unique(np.quantile(returns, TARGET_QUANTILES)).tolist() if returns else []


def _reached(
    env: str,
    strategy: str,
    target: float,
    evaluated: dict[Cell, CellResult],
    evaluations: dict[Cell, Rows],
) -> Reached:
    cells = largest(evaluated, env, strategy)
    calls = [_first(evaluations[cell], target) for cell in cells]
    spent = [evaluated[cell]["steps"] for cell in cells]
    return Reached(env, strategy, target, calls, spent, median_calls(calls, spent))


def _first(rows: Rows, target: float) -> float | None:
    """The calls before the first evaluation whose mean return is at least the target."""
    steps, values = series(rows, RETURN)
    return next((s for s, value in zip(steps, values, strict=True) if value >= target), None)
