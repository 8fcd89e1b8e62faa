"""Prints what an evaluation came to, as a table or as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

from nondiff.env_recipe import EnvRecipe
from nondiff.experiments.evaluation.episodes import Episode
from nondiff.experiments.evaluation.statistics import Estimate, PairedDifference, Summary
from nondiff.experiments.terminal.console import out_json, out_table


@dataclass(frozen=True)
class Judged:
    """A policy's episodes and what they come to."""

    name: str
    episodes: list[Episode]
    summary: Summary


@dataclass(frozen=True)
class Verdict:
    """What an evaluation came to.

    Args:
        recipe: the environment.
        deterministic: whether the most likely actions were taken.
        judged: the policies, the random one last.
        difference: between the first two, where two runs were compared.
    """

    recipe: EnvRecipe
    deterministic: bool
    judged: list[Judged]
    difference: PairedDifference | None


def print_json(verdict: Verdict) -> None:
    """Print a verdict as JSON."""
    data = {
        "env": verdict.recipe.id,
        "env_arguments": dict(verdict.recipe.arguments),
        **verdict.recipe.more(),
        "deterministic": verdict.deterministic,
        "first_seed": verdict.judged[0].episodes[0].seed,
        "policies": [{"name": one.name, **one.summary.to_json()} for one in verdict.judged],
        "difference": verdict.difference.to_json() if verdict.difference else None,
    }
    out_json(data)


def print_table(verdict: Verdict) -> None:
    """Print a verdict as a table."""
    actions = "deterministic" if verdict.deterministic else "stochastic"
    table = Table(
        title=f"{verdict.recipe.id}, {actions} actions, 95 % intervals", title_justify="left"
    )
    for heading in ("policy", "episodes", "success", "mean return", "IQM return", "episode length"):
        # A run is told from another by the end of its name: fold it rather than cut it.
        justify: Literal["left", "right"] = "left" if heading == "policy" else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for one in verdict.judged:
        table.add_row(*_row(one))
    if verdict.difference:
        table.add_section()
        table.add_row(*_difference_row(verdict.difference))
    out_table(table)


def _row(judged: Judged) -> list[str | Text]:
    summary = judged.summary
    return [
        judged.name,
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
