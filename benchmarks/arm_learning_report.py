"""Table and curves of what `arm_learning.py` has measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from arm_learning_rows import PUBLISHED, ROWS, Row
from matplotlib.axes import Axes

from nondiff.experiments.comparison.plots import COLORS, drawing
from nondiff.experiments.evaluation.statistics import bootstrapped, wilson
from nondiff.experiments.plots.curves import mean_curve

HEADING = """# Learning the tasks of the arm

`python benchmarks/arm_learning.py`. A training ends when an evaluation of 100 episodes finds 95 %
of them solved, or with its budget. Steps and seconds: medians with 95 % intervals over the seeds
that got there, or the whole budget where none did. Success and return: means with 95 % intervals,
of the best model of every seed, over 100 held-out episodes. CPU seconds include
evaluations, the processes of the environments, and the making of demonstrations where a row has
some; the start of Python is excluded. Zero steps: imitation of the demonstrations was enough, and
the mean return is about the expert's. "relative": the policy observes places relative to the hand;
"to the goal too": and the way to the goal.

"""
HEADER = ("task", "strategy", "seeds solved", "steps", "CPU seconds", "success", "mean return")
THOUSAND = 1_000  # steps; the axis is linear up to there, and logarithmic beyond
TICKS = (0, THOUSAND, 10 * THOUSAND, 100 * THOUSAND)
SUCCESS = "success"  # in the rows of a curve
WIDTH, HEIGHT, COLUMNS = 4.6, 3.2, 2  # of a panel [inches], and panels in a line
Seeds = dict[str, dict[str, Any]]


def write(results: dict[str, Seeds], path: Path) -> str:
    """Keep the results, their table and their curves beside them; returns the table."""
    path.write_text(json.dumps(results, indent=1) + "\n")
    text = table(results)
    path.with_suffix(".md").write_text(HEADING + text)
    draw(results, path.with_suffix(".png"))
    return text


def table(results: dict[str, Seeds]) -> str:
    """The results, and what was published, as Markdown."""
    lines = [f"| {' | '.join(HEADER)} |", "|" + "---|" * len(HEADER)]
    measured = [row for row in ROWS if results.get(row.name)]
    for task in dict.fromkeys(row.task for row in measured):
        for row in measured:
            if row.task == task:
                lines.append(f"| {' | '.join(cells(row, list(results[row.name].values())))} |")
        for other in PUBLISHED:
            if other.task == task:
                end = f"{other.steps:,} | - | - | {other.mean_return:.1f}"
                lines.append(f"| {task} | rl-zoo3's tqc+her, published, one run | - | {end} |")
    return "\n".join(lines) + "\n"


def cells(row: Row, seeds: list[dict[str, Any]]) -> list[str]:
    """The cells of a row of the table."""
    solved = [seed for seed in seeds if seed["solved"]]
    share = wilson(len(solved), len(seeds))
    success = bootstrapped([seed["success"] for seed in seeds])
    mean_return = bootstrapped([seed["return"] for seed in seeds])
    return [
        row.task,
        row.method,
        f"{len(solved)} of {len(seeds)} [{share.low:.0%}, {share.high:.0%}]",
        cost([seed["steps"] for seed in solved or seeds], bool(solved), 0),
        cost([seed["cpu_seconds"] for seed in solved or seeds], bool(solved), 1),
        f"{success.value:.1%} [{success.low:.1%}, {success.high:.1%}]",
        f"{mean_return.value:.1f} [{mean_return.low:.1f}, {mean_return.high:.1f}]",
    ]


def cost(values: list[float], solved: bool, digits: int) -> str:
    """The median with its interval, and that nothing came of it where nothing did."""
    found = bootstrapped(values, np.median)
    value, low, high = (f"{x:,.{digits}f}" for x in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]" if solved else f"not in {value}"


def draw(results: dict[str, Seeds], path: Path) -> None:
    """Success in evaluations against steps, a panel for each environment."""
    measured = [row for row in ROWS if results.get(row.name)]
    tasks = list(dict.fromkeys(row.task for row in measured))
    lines = -(-len(tasks) // COLUMNS)
    with drawing((WIDTH * COLUMNS, HEIGHT * lines)) as figure:
        panels = figure.subplots(lines, COLUMNS, squeeze=False).flat
        for panel in panels:
            panel.set_visible(False)
        for panel, task in zip(figure.axes, tasks, strict=False):
            panel.set_visible(True)
            draw_task(panel, task, [row for row in measured if row.task == task], results)
        figure.savefig(path, dpi=110, facecolor="white")


def draw_task(panel: Axes, task: str, rows: list[Row], results: dict[str, Seeds]) -> None:
    """The mean curve of each row, and the curve of each seed behind it."""
    for row, color in zip(rows, COLORS, strict=False):
        curves = [seed["curve"] for seed in results[row.name].values()]
        for curve in curves:
            panel.plot(*zip(*curve, strict=True), color=color, lw=0.8, alpha=0.35)
        named = [[{"steps": x, SUCCESS: y} for x, y in curve] for curve in curves]
        steps, means = mean_curve(named, SUCCESS)
        values = [mean.value for mean in means]
        panel.plot(steps, values, ".-", color=color, lw=2, label=row.method)
    panel.set_xscale("symlog", linthresh=THOUSAND)  # what demonstrations reach lies at zero steps
    panel.set_xticks(TICKS, [f"{tick:,}" for tick in TICKS])
    panel.set_xlim(-0.05 * THOUSAND)
    panel.set_ylim(-0.02, 1.02)
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    panel.set_title(task, fontsize=11)
    panel.set_xlabel("environment steps")
    panel.set_ylabel("success in evaluation")
    panel.legend(fontsize=8.5)
