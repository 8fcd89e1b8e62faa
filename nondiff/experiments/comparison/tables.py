"""The table of a comparison, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from nondiff.experiments.comparison.headline import headlines, interval, number
from nondiff.experiments.comparison.references import ReferenceRow
from nondiff.experiments.comparison.results import Reached, Results, Row
from nondiff.text import markdown as markup

HEADINGS = (
    "strategy",
    "budget",
    "score (IQM of seeds)",
    "median episode",
    "mean episode",
    "failed",
    "success",
    "CPU s a training",
    "evaluation calls",
    "calls at test time",
)
LEFT = 1  # columns of text; the others hold numbers


def markdown(results: Results) -> str:
    """Every table of a comparison."""
    parts = [f"- {sentence}" for sentence in headlines(results, markup)]
    for env in results.envs():
        parts += ["", f"## {markup(env)}", "", *_table([HEADINGS, *table_rows(results, env)])]
        targets = target_table(results, env)
        if targets:
            parts += ["", "Median calls to a mean return in evaluation:", "", *_table(targets)]
    if results.missing:
        parts += ["", "## Without result", ""]
        parts += [
            f"- {markup(one.cell)}: {one.state}: {markup(one.error)}" for one in results.missing
        ]
    return "\n".join(parts) + "\n"


def table_rows(results: Results, env: str) -> list[tuple[str, ...]]:
    """One row a strategy and budget, then the references."""
    own = [_cells(row) for row in results.of(env)]
    return own + [_reference_cells(row) for row in results.references if row.env == env]


def target_table(results: Results, env: str) -> list[tuple[str, ...]]:
    """Median calls to each target, one row a target; empty: there are none."""
    own = [one for one in results.reached if one.env == env]
    targets = sorted({one.target for one in own})
    strategies = list(dict.fromkeys(one.strategy for one in own))
    found = {(one.strategy, one.target): one for one in own}
    rows = [(number(t), *(_median(found[strategy, t]) for strategy in strategies)) for t in targets]
    return [("mean return", *strategies), *rows] if targets else []


def _median(reached: Reached) -> str:
    there = sum(calls is not None for calls in reached.calls)
    share = f"{there} of {len(reached.calls)} seeds"
    if reached.median_calls is not None:
        return f"{reached.median_calls:,.0f} ({share})"
    return f"> {min(reached.spent):,} ({share})"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.strategy,
        f"{row.budget:,}",
        interval(row.score),
        interval(row.median),
        interval(row.mean),
        failures(row),
        "-" if row.success is None else f"{row.success:.1%}",
        f"{row.cpu_seconds:,.1f}",
        f"{row.evaluation_calls:,.0f}",
        f"{row.test_calls:,}",
    )


def _reference_cells(row: ReferenceRow) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.train_calls:,}",
        "-",
        interval(row.median),
        interval(row.mean),
        failures(row),
        "-",
        "-",
        "-",
        f"{row.test_calls:,} (each episode)",
    )


def failures(row: Row | ReferenceRow) -> str:
    """How many episodes failed, and which share that is."""
    if not row.failed:
        return f"0 of {row.episodes:,}"
    return f"{row.failed:,} of {row.episodes:,} ({row.failed / row.episodes:.1%})"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns are as wide as their widest cell."""
    cells = [[*(markup(cell, cell=True) for cell in row[:LEFT]), *row[LEFT:]] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = [f"| {' | '.join(_padded(row, widths))} |" for row in cells]
    rule = [f":{'-' * (w - 1)}" if i < LEFT else f"{'-' * (w - 1)}:" for i, w in enumerate(widths)]
    return [lines[0], f"| {' | '.join(rule)} |", *lines[1:]]


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if i < LEFT else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
