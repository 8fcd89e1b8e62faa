"""Writes the report of a comparison: JSON, a table, plots, and one page that holds all of it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from nondiff.experiments.comparison.cells import EVALUATIONS, Plan
from nondiff.experiments.comparison.gallery import Answer, gallery
from nondiff.experiments.comparison.headline import headlines
from nondiff.experiments.comparison.outputs import PLOTS, REPORT, RESULTS, TABLE
from nondiff.experiments.comparison.plots import Picture, color_of, plots
from nondiff.experiments.comparison.results import TARGET_QUANTILES, Results, Row
from nondiff.experiments.comparison.tables import markdown, table_rows, target_table
from nondiff.experiments.evaluation.statistics import RESAMPLES, Estimate
from nondiff.experiments.run.files import replace_text, write_json
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.provenance import timestamp, versions
from nondiff.files.safe_path import SafePath
from nondiff.text import visible

TEMPLATE = "report.html.j2"
LAYOUT = "\n\N{NO-BREAK SPACE}"  # of our own texts
PARAGRAPH = 400  # characters of an error that a page shows


@dataclass(frozen=True)
class Bar:
    """An interval drawn in a table: where it begins, its value and its width, in per cent."""

    left: float
    at: float
    width: float


@dataclass(frozen=True)
class Section:
    """What a page says of one environment; `rated` is whether it reports success."""

    env: str
    rated: bool
    rows: list[tuple[Row, str, Bar, tuple[str, ...]]]  # with its colour, bar and texts
    references: list[tuple[str, ...]]
    targets: list[tuple[str, ...]]
    pictures: list[Picture]
    answers: list[list[Answer]]


def write_report(plan: Plan, results: Results, command: str, html: bool = True) -> None:
    """Write `results.json`, `table.md`, the plots and, if asked for, `report.html`."""
    provenance = _provenance(plan, results, command)
    write_json(plan.files / RESULTS, provenance | results.to_json())
    _write(plan.files / TABLE, markdown(results))
    sections = [_section(plan, results, env) for env in results.envs()]
    _write_pictures(plan.files / PLOTS, sections)
    if html:
        _write(plan.files / REPORT, _page(plan, results, sections, provenance))


def _write(path: SafePath, text: str) -> None:
    """Write a text, names that are no Unicode and all."""
    replace_text(path, text.encode("utf-8", "backslashreplace").decode())


def _provenance(plan: Plan, results: Results, command: str) -> dict[str, Any]:
    runs = [Run.open(plan.run_folder(cell)).config for cell in results.evaluated]
    kinds: dict[str, Any] = {}
    for cell in results.evaluated:
        kinds.setdefault(f"{cell.strategy} on {cell.env}", plan.wanted(cell)["hyperparameters"])
    return {
        "command": command,
        "written": timestamp(),
        "headlines": headlines(results),
        "held_out_episodes": len(next(iter(results.evaluated.values()))["returns"]),
        **versions(),
        "revisions_of_trainings": sorted({str(run.git_revision) for run in runs}),
        "hyperparameters": kinds,
    }


def _section(plan: Plan, results: Results, env: str) -> Section:
    rows, texts = results.of(env), table_rows(results, env)
    scale = _scale([row.score for row in rows])
    return Section(
        env,
        any(row.success is not None for row in rows),
        [
            (row, color_of(results, row.strategy), _bar(row.score, scale), text)
            for row, text in zip(rows, texts, strict=False)
        ],
        texts[len(rows) :],
        target_table(results, env),
        plots(results, env),
        gallery(plan, results, env),
    )


def _scale(scores: list[Estimate]) -> tuple[bool, float, float]:
    """Whether bars are logarithmic, as the plots' axes are, and their ends."""
    low, high = min(one.low for one in scores), max(one.high for one in scores)
    if high < 0 and low < 5 * high:
        return True, -math.log(-low), -math.log(-high)
    return False, low, high


def _bar(score: Estimate, scale: tuple[bool, float, float]) -> Bar:
    logarithmic, low, high = scale
    ends = [score.low, score.value, score.high]
    if logarithmic:
        ends = [-math.log(-end) for end in ends]
    span = (high - low) or 1.0
    left, at, right = (100 * (end - low) / span for end in ends)
    return Bar(round(left, 2), round(at, 2), round(right - left, 2))


def _write_pictures(folder: SafePath, sections: list[Section]) -> None:
    folder.make_folder()
    for section in sections:
        answers = [answer.picture for row in section.answers for answer in row]
        for picture in [*section.pictures, *answers]:
            (folder / f"{picture.name}.png").write(picture.png)
            (folder / f"{picture.name}.svg").write(picture.svg.encode())


def _page(plan: Plan, results: Results, sections: list[Section], provenance: dict[str, Any]) -> str:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.finalize = _shown
    environment.filters["quiet"] = _quiet
    environment.filters["readable"] = lambda value: json.dumps(value, indent=1)
    template = environment.from_string((files(__package__) / TEMPLATE).read_text("utf-8"))
    return template.render(
        plan=plan,
        results=results,
        sections=sections,
        provenance=provenance,
        budgets=sorted({row.budget for row in results.rows}),
        seeds=len({cell.seed for cell in plan.cells}),
        evaluations=EVALUATIONS,
        resamples=RESAMPLES,
        quantiles=TARGET_QUANTILES,
        shown=PARAGRAPH,
    )


def _shown(value: Any) -> Any:
    """Whatever is put into the page, without control characters."""
    return type(value)(visible(value, keep=LAYOUT)) if isinstance(value, str) else value


def _quiet(text: str) -> Markup:
    """A text whose intervals and remarks in brackets are set smaller."""
    return Markup(re.sub(r"\[[^\]]*\]|\([^)]*\)", r"<small>\g<0></small>", str(escape(text))))  # noqa: S704
