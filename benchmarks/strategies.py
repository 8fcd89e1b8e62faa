"""All strategies at equal budgets of simulator calls, on SurfaceWaves and PandaReachDense.

Every training is a run of `nondiff compare`, with the presets of `nondiff train`, judged by its
last policy on held-out data: 512 dispersion curves, or 512 goals. Trainings run several at a time,
so that CPU seconds, evaluations included, are those of a busy machine.

    python benchmarks/strategies.py --jobs 2             # all of it, about 40 minutes
    python benchmarks/strategies.py --studies "reach"    # one study
    python benchmarks/strategies.py --strategies surrogate   # to strategies_surrogate.md

It goes on where it was stopped. Tables go to docs/results/strategies.md, the reports stay in the
folder. The reference rows are those of surface_waves_references.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from nondiff.agents.pathwise.refinement import refine
from nondiff.black_box import find_black_box
from nondiff.experiments.commands.compare import CompareOptions, compare
from nondiff.experiments.comparison.tables import markdown
from nondiff.experiments.run.folder import Run
from nondiff.experiments.stopping import Stop

WAVES, WAVES6 = "nondiff/SurfaceWaves-v0", "nondiff/SurfaceWaves6-v0"
REACH = "nondiff/PandaReachDense-v0"
RESULTS = Path(__file__).parents[1] / "docs" / "results"
REFERENCES = RESULTS / "surface_waves_references.json"
PATHWISE = ("surrogate", "manual", "autodiff")
REFINED = ("surrogate", "manual", "autodiff")  # whose policies at 1,000 calls are refined
FITTED = 1.2  # misfit
EXTRA_CALLS = 10


@dataclass(frozen=True)
class Study:
    """One comparison."""

    title: str
    envs: tuple[str, ...]
    strategies: tuple[str, ...]
    budgets: tuple[int, ...]
    train_arg: tuple[str, ...] = ()


STUDIES = {
    "waves": Study(
        "Seismic inversion",
        (WAVES, WAVES6),
        ("ppo", *PATHWISE, "finite-difference", "cma-es"),
        (300, 1_000, 3_000),
    ),
    "frozen": Study(
        "Seismic inversion, the surrogate fitted once to calls at random actions",
        (WAVES,),
        ("surrogate",),
        (300, 1_000, 3_000),
        ("--no-active",),
    ),
    "long": Study("Seismic inversion, larger budgets", (WAVES,), ("ppo",), (10_000, 30_000)),
    "reach": Study("A robot arm", (REACH,), ("ppo", "sac", *PATHWISE, "cma-es"), (1_000, 3_000)),
}


@dataclass(frozen=True)
class Options:
    """Train every strategy at every budget, and write the tables."""

    studies: tuple[str, ...] = tuple(STUDIES)
    """Which: waves, frozen, long, reach."""
    strategies: tuple[str, ...] = ()
    """Of each study, only these; empty: all."""
    seeds: int = 5
    """Trainings of each kind."""
    jobs: int = 1
    """Trainings at a time."""
    folder: Path = Path("comparisons/strategies")
    """Where runs and reports are kept."""


def main() -> None:
    """Run the studies and print their tables."""
    options = tyro.cli(Options, description=__doc__)
    only = " --strategies " * bool(options.strategies) + " ".join(options.strategies)
    parts = ["# All strategies at equal budgets", ""]
    parts += [
        f"`python benchmarks/strategies.py --seeds {options.seeds} --jobs {options.jobs}{only}`",
        "",
    ]
    with Stop() as stop:
        for name in options.studies:
            study = STUDIES[name]
            if not _strategies(study, options):
                continue
            results = compare(_comparison(name, options), stop)
            parts += [f"# {study.title}", "", markdown(results)]
            if name == "waves":
                parts += _refined(options)
    text = "\n".join(parts)
    if set(options.studies) == set(STUDIES):
        stem = "_".join(("strategies", *options.strategies))
        (RESULTS / f"{stem}.md").write_text(text)
    print(text)


def _comparison(name: str, options: Options) -> CompareOptions:
    study = STUDIES[name]
    return CompareOptions(
        envs=study.envs,
        strategies=_strategies(study, options),
        budgets=study.budgets,
        folder=options.folder / name,
        seeds=options.seeds,
        jobs=options.jobs,
        train_arg=study.train_arg,
        references=REFERENCES if name == "waves" and REFERENCES.exists() else None,
    )


def _strategies(study: Study, options: Options) -> tuple[str, ...]:
    return tuple(s for s in study.strategies if s in (options.strategies or study.strategies))


def _refined(options: Options) -> list[str]:
    """The policies of 1,000 calls, each case refined by a few calls of its own."""
    rows = [
        f"Refined by at most {EXTRA_CALLS} calls a case (damped Gauss-Newton), policies of 1,000 "
        "calls, all seeds:",
        "",
        f"| environment | policy | median misfit | mean misfit | at most {FITTED} | calls a case |",
        "|---|---|---|---|---|---|",
    ]
    for env in (WAVES, WAVES6):
        for strategy in (s for s in REFINED if s in (options.strategies or REFINED)):
            found = [_refined_run(options, env, strategy, seed) for seed in range(options.seeds)]
            misfit = np.concatenate([misfits for misfits, _ in found])
            calls = np.concatenate([used for _, used in found])
            rows.append(
                f"| {env} | {strategy} | {np.median(misfit):.3f} | {misfit.mean():.3f} "
                f"| {(misfit <= FITTED).mean():.1%} | {calls.mean():.1f} |"
            )
    return [*rows, ""]


def _refined_run(options: Options, env: str, strategy: str, seed: int) -> tuple[Any, Any]:
    name = f"{env.removeprefix('nondiff/')}-{strategy}-b1000-s{seed}"
    run = Run.open(options.folder / "waves" / "runs" / name)
    with run.recipe.held_out().opened() as made:
        box = find_black_box(made)
        assert box is not None
        pool = box.pool()  # type: ignore[attr-defined]
        seen = box.observation(torch.from_numpy(pool.state), torch.from_numpy(pool.context))
        action = run.load_policy("last").predict(seen.numpy().astype(np.float32))
        _, misfits, calls = refine(box, pool.context, action.astype(np.float64), EXTRA_CALLS)
    return misfits, calls


if __name__ == "__main__":
    main()
