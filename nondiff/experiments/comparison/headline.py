"""The result of a comparison in sentences."""

from __future__ import annotations

from collections.abc import Callable

from nondiff.experiments.comparison.references import ReferenceRow
from nondiff.experiments.comparison.results import Results, Row
from nondiff.experiments.evaluation.statistics import Estimate, stratified_difference
from nondiff.text import visible

MIN_SEEDS = 3  # for a claim
MAX_REFERENCES = 3  # worth a sentence and a line each; more are left to the table
THREE_DIGITS, LONG = "{:#.3g}", 999.5


def headlines(results: Results, written: Callable[[str], str] = visible) -> list[str]:
    """Which strategy is best on each environment at its largest budget, and how surely.

    Args:
        results: of a comparison.
        written: how names that were not made here are written.
    """
    sentences = []
    for env in results.envs():
        rows = results.of(env)
        budget = max(row.budget for row in rows)
        best, *others = sorted(
            (row for row in rows if row.budget == budget), key=lambda row: -row.score.value
        )
        text = f"On {written(env)}, with {calls_in_words(budget)}, {best.strategy} scored"
        text += f" {interval(best.score)}{_against(best, others)}."
        sentences.append(text)
        beside = [row for row in results.references if row.env == env]
        if len(beside) <= MAX_REFERENCES:
            sentences += [_beside(row, written(row.name)) for row in beside]
    return sentences


def _against(best: Row, others: list[Row]) -> str:
    if not others:
        return ""
    second = others[0]
    text = f"; {second.strategy}, the next best, {interval(second.score)}"
    if min(len(best.seed_scores), len(second.seed_scores)) < MIN_SEEDS:
        return f"{text}. So few seeds say little about how sure that is"
    scores = [[[score] for score in row.seed_scores] for row in (second, best)]
    difference = stratified_difference(scores[0], scores[1])
    if difference.low > 0:
        return f"{text}. The difference, {interval(difference)}, is larger than its uncertainty"
    return f"{text}. These seeds can't tell the two apart: the difference is {interval(difference)}"


def _beside(row: ReferenceRow, name: str) -> str:
    return (
        f"For reference, {name} has a median of {interval(row.median)}, "
        f"with {calls_in_words(row.test_calls)} for each episode."
    )


def interval(estimate: Estimate, form: str = THREE_DIGITS) -> str:
    """A value with its interval: -1.2 [-1.3, -1.1]."""
    value, low, high = (number(x, form) for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def number(value: float, form: str = THREE_DIGITS) -> str:
    """A number of three digits, with a minus sign that is as wide as a plus."""
    if abs(value) >= LONG:
        form = "{:,.0f}"
    return form.format(value).removesuffix(".").replace("-", "\N{MINUS SIGN}")


def calls_in_words(calls: int) -> str:
    """So many simulator calls."""
    return f"{calls:,} simulator call{'' if calls == 1 else 's'}"
