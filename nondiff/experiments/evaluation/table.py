"""Print an evaluation as a table."""

from __future__ import annotations

from typing import Literal

from rich.table import Table
from rich.text import Text

from nondiff.experiments.evaluation.evaluation import Evaluation, PolicyEvaluation
from nondiff.experiments.evaluation.statistics import Estimate, PairedDifference
from nondiff.experiments.terminal.console import out_table


def print_table(evaluation: Evaluation) -> None:
    """Print an evaluation as a table."""
    actions = "deterministic" if evaluation.deterministic else "stochastic"
    table = Table(
        title=f"{evaluation.recipe.id}, {actions} actions, 95 % intervals", title_justify="left"
    )
    for heading in ("policy", "episodes", "success", "mean return", "IQM return", "episode length"):
        # A run is told from another by the end of its name: fold it rather than cut it.
        justify: Literal["left", "right"] = "left" if heading == "policy" else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for one in evaluation.policies:
        table.add_row(*_row(one))
    if evaluation.difference:
        table.add_section()
        table.add_row(*_difference_row(evaluation.difference))
    out_table(table)


def _row(evaluated: PolicyEvaluation) -> list[str | Text]:
    summary = evaluated.summary
    return [
        evaluated.name,
        str(summary.episodes),
        _interval(summary.success, "{:.1%}"),
        _interval(summary.return_mean, "{:.4g}"),
        _interval(summary.return_iqm, "{:.4g}"),
        _interval(summary.length_mean, "{:.1f}"),
    ]


def _difference_row(difference: PairedDifference) -> list[str | Text]:
    return [
        "second minus first",
        str(difference.episodes),
        _interval(difference.success, "{:+.1%}"),
        _interval(difference.episode_return, "{:+.4g}"),
        "",
        _interval(difference.length, "{:+.1f}"),
    ]


def _interval(estimate: Estimate | None, form: str) -> str | Text:
    if estimate is None:
        return "-"
    value, low, high = (form.format(x) for x in (estimate.value, estimate.low, estimate.high))
    return Text(f"{value}\n[{low}, {high}]")
