"""All strategies that apply on the two design problems that are programs: an antenna, a circuit.

Every training is a run of `nondiff compare` with the presets of `nondiff train`, judged by its last
policy on the 512 held-out requests: how many of them it meets. The reference rows are CMA-ES
for each request by itself (yagi_references.py, op_amp_references.py). CPU seconds are those of a
training with its evaluations, the programs included, on a machine that was busy with others.

    python benchmarks/design.py                              # both, hours of two cores
    python benchmarks/design.py --studies yagi-antenna       # one of them

It goes on where it was stopped. Each study is written to docs/results/design_STUDY.md and .json;
the reports stay in the folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from nondiff.experiments.commands.compare import CompareOptions, compare
from nondiff.experiments.comparison.results import Results, Row
from nondiff.experiments.comparison.tables import markdown
from nondiff.experiments.evaluation.statistics import Estimate, bootstrapped
from nondiff.experiments.stopping import Stop

RESULTS = Path(__file__).parents[1] / "docs" / "results"


@dataclass(frozen=True)
class Study:
    """One comparison.

    Args:
        title: of its page.
        env: the environment.
        strategies: those that apply and are compared.
        budgets: calls of the program that a training may make.
        references: JSON file in docs/results with `met_by_calls_a_request` of searches for each
            request by itself.
        goal: share of held-out requests that the best strategy is to meet.
    """

    title: str
    env: str
    strategies: tuple[str, ...]
    budgets: tuple[int, ...]
    references: str
    goal: float


STUDIES = {
    "yagi-antenna": Study(
        "An antenna, by nec2c",
        "nondiff/YagiAntenna-v0",
        ("surrogate", "finite-difference", "cma-es", "ppo", "sac"),
        (1_000,),
        "yagi_antenna_references.json",
        0.9,
    ),
    "op-amp": Study(
        "A circuit, by ngspice",
        "nondiff/OpAmp-v0",
        ("surrogate", "ppo", "sac", "finite-difference", "cma-es"),
        (1_000,),
        "op_amp_references.json",
        0.96,
    ),
    "op-amp-long": Study(
        "A circuit, by ngspice, larger budgets",
        "nondiff/OpAmp-v0",
        ("ppo", "finite-difference", "cma-es"),
        (10_000,),
        "op_amp_references.json",
        0.96,
    ),
}


@dataclass(frozen=True)
class Options:
    """Train every strategy at every budget, and write the tables."""

    studies: tuple[str, ...] = tuple(STUDIES)
    """Which: yagi-antenna, op-amp, op-amp-long."""
    seeds: int = 5
    """Trainings of each kind."""
    jobs: int = 1
    """Trainings at a time."""
    budgets: tuple[int, ...] = ()
    """Instead of the study's own."""
    strategies: tuple[str, ...] = ()
    """Instead of the study's own."""
    folder: Path = Path("comparisons/design")
    """Where runs and reports are kept."""


def main() -> None:
    """Run the studies, write and print their tables."""
    options = tyro.cli(Options, description=__doc__)
    with Stop() as stop:
        for name in options.studies:
            study = STUDIES[name]
            comparison = CompareOptions(
                envs=(study.env,),
                strategies=options.strategies or study.strategies,
                budgets=options.budgets or study.budgets,
                folder=options.folder / name,
                seeds=options.seeds,
                jobs=options.jobs,
            )
            write(name, options, compare(comparison, stop))


def write(name: str, options: Options, results: Results) -> None:
    """Write the page and the numbers of a study, and print the page."""
    study = STUDIES[name]
    rows = [numbers(row, results) for row in results.of(study.env)]
    command = f"python benchmarks/design.py --studies {name} --seeds {options.seeds}"
    command += f" --jobs {options.jobs}"
    for option in ("budgets", "strategies"):
        given = getattr(options, option)
        command += f" --{option} {' '.join(map(str, given))}" if given else ""
    parts = [f"# {study.title}", "", f"`{command}`", "", verdict(study, rows), "", *table(rows)]
    parts += ["", *reference_table(study), "", "# The whole comparison", "", markdown(results)]
    page = RESULTS / f"design_{name.replace('-', '_')}.md"
    page.write_text("\n".join(parts))
    page.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    print("\n".join(parts))


def numbers(row: Row, results: Results) -> dict[str, Any]:
    """What a strategy came to at a budget; its intervals are over seeds."""
    cells = [
        one
        for cell, one in results.judged.items()
        if (cell.env, cell.strategy, cell.budget) == (row.env, row.strategy, row.budget)
    ]
    met = [float(np.mean(one["success"])) for one in cells if one["success"] is not None]
    returns = [float(np.mean(one["returns"])) for one in cells]
    return {
        "strategy": row.strategy,
        "budget": row.budget,
        "seeds": len(cells),
        "met": triple(bootstrapped(met)) if met else None,
        "met_by_seed": met,
        "mean_return": triple(bootstrapped(returns)),
        "failed": row.failed,
        "episodes": row.episodes,
        "calls": row.calls,
        "evaluation_calls": row.evaluation_calls,
        "cpu_seconds": row.cpu_seconds,
    }


def triple(estimate: Estimate) -> list[float]:
    """A value and its interval."""
    return [round(x, 5) for x in (estimate.value, estimate.low, estimate.high)]


def verdict(study: Study, rows: list[dict[str, Any]]) -> str:
    """Whether the best strategy meets as many requests as it should."""
    best = max(rows, key=lambda row: row["met"][0] if row["met"] else -1.0)
    share = best["met"][0] if best["met"] else 0.0
    word = "at least" if share >= study.goal else "short of"
    return (
        f"Best: {best['strategy']} with {best['budget']:,} calls meets {share:.1%} of the held-out "
        f"requests, {word} the {study.goal:.0%} aimed at."
    )


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Requests met, in Markdown."""
    heads = ("strategy", "calls", "requests met", "worst seed", "mean return", "failed", "CPU s")
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        met = "-" if row["met"] is None else "{:.1%} [{:.1%}, {:.1%}]".format(*row["met"])
        worst = "-" if row["met"] is None else f"{min(row['met_by_seed']):.1%}"
        cells = [row["strategy"], f"{row['calls']:,.0f}", met, worst]
        cells += ["{:.3f} [{:.3f}, {:.3f}]".format(*row["mean_return"])]
        cells += [f"{row['failed']:,} of {row['episodes']:,}", f"{row['cpu_seconds']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def reference_table(study: Study) -> list[str]:
    """Requests met by a search for each by itself, in Markdown."""
    path = RESULTS / study.references
    if not path.exists():
        return [f"No reference rows: {path.name} is not there."]
    data = json.loads(path.read_text())
    lines = [
        f"CMA-ES for each request by itself, {data['requests']} of the {data['of']} held-out ones:",
        "",
        f"| calls a request | calls for all {data['of']} | requests met |",
        "|---|---|---|",
    ]
    for calls, share in data["met_by_calls_a_request"].items():
        lines.append(f"| {int(calls):,} | {int(calls) * data['of']:,} | {share:.1%} |")
    return lines


if __name__ == "__main__":
    main()
