"""Learning curves of several runs, those of one configuration as a mean with its interval."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from nondiff.errors import InvalidOptionError, RunError
from nondiff.experiments.evaluation.statistics import Estimate, bootstrapped
from nondiff.experiments.plots.figures import drawn_plainly, pyplot
from nondiff.experiments.ranges import MAX_RETURN
from nondiff.experiments.run.file_names import METRICS
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.metrics import Rows, read_metrics, series
from nondiff.experiments.terminal.console import err
from nondiff.files.kinds import UnsafePathError
from nondiff.files.output import check_output, replacing
from nondiff.text import visible

PANELS = {"return": "evaluation/return_mean", "success rate": "evaluation/success"}
SUFFIXES = (".png", ".pdf", ".svg")
MAX_POINTS = 100  # of a curve
NAMED = ("env", "strategy")


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone."""

    label: str
    curves: list[Rows]


def check_picture_path(path: Path) -> None:
    """Refuse a file that no picture can be written to.

    Raises:
        InvalidOptionError: an unknown suffix, or no such folder.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidOptionError(f"--plot {path}: the name must end in {', '.join(SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise InvalidOptionError(f"--plot {path}: there is no folder {path.absolute().parent}")
    try:
        check_output(path)
    except UnsafePathError as error:
        raise InvalidOptionError(f"--plot {path}: it {error.strerror}") from error


def draw_curves(runs: Sequence[Run], path: Path) -> None:
    """Draw return and, where reported, success of evaluations against steps.

    Raises:
        RunError: none of the runs has been evaluated yet.
    """
    groups = group_runs([run for run in runs if _is_readable(run)])
    panels = {
        label: metric
        for label, metric in PANELS.items()
        if any(series(rows, metric)[0] for group in groups for rows in group.curves)
    }
    left_out = sum(_left_out(rows) for group in groups for rows in group.curves)
    if left_out:
        bounds = f"{-MAX_RETURN:g} to {MAX_RETURN:g}"
        err(f"left out {left_out} values that are not from {bounds}")
    if not panels:
        raise RunError("no evaluation of these runs can be shown: there are no curves to draw")
    with drawn_plainly():
        _draw_panels(panels, groups, path)


def _draw_panels(panels: dict[str, str], groups: list[Group], path: Path) -> None:
    figure, axes = pyplot.subplots(1, len(panels), figsize=(6 * len(panels), 4.2), squeeze=False)
    for axis, (label, metric) in zip(axes[0], panels.items(), strict=True):
        for group in groups:
            _draw(axis, group, metric)
        axis.set_xlabel("environment steps")
        axis.set_ylabel(f"{label} in evaluation")
        axis.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.tight_layout()
    with replacing(path) as new:
        figure.savefig(new, dpi=120)
    pyplot.close(figure)


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Runs by everything that was asked but the seed, with what tells the groups apart."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(json.dumps(_options(run), sort_keys=True), []).append(run)
    options = [_options(group[0]) for group in members.values()]
    return [
        Group(
            f"{_label(own, options)} ({len(group)} run{'s' if len(group) > 1 else ''})",
            [_metrics(run) for run in group],
        )
        for own, group in zip(options, members.values(), strict=True)
    ]


def mean_curve(curves: list[Rows], metric: str) -> tuple[list[float], list[Estimate]]:
    """The mean of some runs at each step, with its 95 % interval over the runs."""
    found = [series(rows, metric) for rows in curves]
    found = [(steps, values) for steps, values in found if steps]
    if not found:
        return [], []
    start = max(steps[0] for steps, _ in found)
    grid = sorted({step for steps, _ in found for step in steps if step >= start})
    if len(grid) > MAX_POINTS:
        grid = list(np.linspace(grid[0], grid[-1], MAX_POINTS))
    values = [np.interp(grid, steps, of_run) for steps, of_run in found]
    return grid, [bootstrapped(at_step) for at_step in np.transpose(values).tolist()]


def _left_out(rows: Rows) -> int:
    return sum(name in row for name in PANELS.values() for row in rows) - sum(
        len(series(rows, name)[0]) for name in PANELS.values()
    )


def _draw(axis: Axes, group: Group, metric: str) -> None:
    steps, estimates = mean_curve(group.curves, metric)
    if not steps:
        return
    (line,) = axis.plot(steps, [e.value for e in estimates], ".-", label=group.label)
    low, high = [e.low for e in estimates], [e.high for e in estimates]
    axis.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)


def _is_readable(run: Run) -> bool:
    """Whether a run's metrics can be read; if not, the user is told."""
    try:
        _metrics(run)
    except RunError as error:
        err(str(error))
        return False
    return True


def _metrics(run: Run) -> Rows:
    path = run.files / METRICS
    return read_metrics(path) if path.kind() else []


def _options(run: Run) -> dict[str, Any]:
    """All that was asked but the seed; an argument of the environment may be named like another."""
    config = run.config
    arguments = dict(config.hyperparameters)
    for key, value in config.env_arguments.items():
        arguments[f"env.{key}" if key in (*arguments, *NAMED) else key] = value
    return {"env": config.env, "strategy": config.strategy, **arguments}


def _label(own: dict[str, Any], groups: list[dict[str, Any]]) -> str:
    rivals = [g for g in groups if (g["env"], g["strategy"]) == (own["env"], own["strategy"])]
    names = sorted({name for group in rivals for name in group})
    telling = [name for name in names if any(g.get(name) != own.get(name) for g in rivals)]
    return visible(" ".join([own["env"], own["strategy"], *(f"{n}={own.get(n)}" for n in telling)]))
