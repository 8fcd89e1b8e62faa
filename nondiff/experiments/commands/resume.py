"""The `train` command's --resume: resumes a run from its last checkpoint."""

from __future__ import annotations

import math
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nondiff.errors import DamagedModelError, InvalidOptionError, RunError
from nondiff.experiments.evaluation.fit import check_spaces
from nondiff.experiments.ranges import MAX_STEPS, check_ranges
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.provenance import versions
from nondiff.experiments.stopping import Stop
from nondiff.experiments.terminal.console import err
from nondiff.experiments.terminal.parsing import AnyPath, parse_known_options
from nondiff.experiments.training.callbacks import Callbacks
from nondiff.experiments.training.demonstration_check import check_unchanged
from nondiff.experiments.training.session import carry_on, configured, set_device

KEPT: Literal["kept"] = "kept"
STOPS = ("stop_at_success", "stop_at_return")


@dataclass(frozen=True)
class ResumeOptions:
    """Resume a run, with bit-identical results to one that never stopped."""

    resume: AnyPath
    """The run folder."""
    budget: int | None = None
    """Environment steps in all; None: as many as before. A learning rate that falls linearly
    falls to the end of the new budget."""
    trust: bool = False
    """Import and start what somebody else's run names, which may be any code. The run is your own
    from then on."""
    stop_at_success: float | Literal["kept"] | None = KEPT
    """Stop early once this success rate is confirmed; None: spend the budget."""
    stop_at_return: float | Literal["kept"] | None = KEPT
    """Stop early once this mean return is confirmed; None: spend the budget."""


def parse_resume(arguments: list[str], prog: str) -> ResumeOptions:
    """Parse a command line with --resume.

    Raises:
        InvalidOptionError: an option that a run can't change.
    """
    options, unknown = parse_known_options(ResumeOptions, arguments, prog)
    if unknown:
        raise InvalidOptionError(
            f"{unknown[0]} can't be given with --resume: everything but --budget, "
            "--stop-at-success, --stop-at-return and --trust is as the run began"
        )
    return options


def resume(
    options: ResumeOptions, stop: Stop | None = None, callbacks: Callbacks | None = None
) -> Run:
    """Train a run to its end, and evaluate the best model; returns the finished run.

    Raises:
        NondiffError: there is no such run, it is being trained, it is finished, or training broke
            down again.
        Interrupted: `stop` was asked for.
    """
    stop = stop or Stop()  # which nothing asks for
    with closing(Run.open_to_write(Path(options.resume), options.trust)) as run:
        changes = _changes(options)
        if run.status() != "imported":
            configured(run)  # so that what follows can rely on it
        _check(run, changes)
        _note_versions(run)
        if changes:
            run.ask(**changes)  # which is written when training begins
        strategy, plan = configured(run)
        check_unchanged(run, strategy)
        set_device(run.config.device, run.config.threads or 1)
        with run.recipe.opened() as env:
            strategy.check(env)
            _check_fit(run, env)
            carry_on(run, env, strategy, plan, stop, callbacks)
    return run


def _changes(options: ResumeOptions) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if options.budget is not None:
        check_ranges({"budget": (options.budget, 1, MAX_STEPS)})
        changes["budget"] = options.budget
    if options.stop_at_success != KEPT:
        check_ranges({"stop_at_success": (options.stop_at_success or 0.0, 0.0, 1.0)})
        changes["stop_at_success"] = options.stop_at_success
    if options.stop_at_return != KEPT:
        value = options.stop_at_return
        check_ranges({"stop_at_return": (value or 0.0, -math.inf, math.inf)})
        changes["stop_at_return"] = value
    return changes


def _check(run: Run, changes: dict[str, Any]) -> None:
    """Refuse what would end at once, or before the run's present step."""
    if run.status() == "imported":
        raise RunError(f"{run.folder} was imported: there is no training to resume")
    before, steps = run.asked, run.state.steps
    budget = changes.get("budget", before.budget)
    if budget < steps:
        raise InvalidOptionError(f"--budget {budget} is below the {steps:,} steps already done")
    if run.status() != "finished":
        return
    step = int(run.config.hyperparameters.get("num_envs", 1))  # of all environments together
    spent = steps + step > before.budget
    if spent and steps + step > budget:
        raise RunError(
            f"{run.folder} is finished: its budget of {budget:,} steps is spent; to resume it, "
            "give a larger --budget"
        )
    stops = {name: getattr(before, name) for name in STOPS}
    reached = ", ".join(f"{name} {value}" for name, value in stops.items())
    unchanged = all(stops[name] == changes.get(name, stops[name]) for name in STOPS)
    if not spent and unchanged and run.stop_reason != "callback":
        raise RunError(
            f"{run.folder} is finished: at step {steps:,} it reached what it was to stop at "
            f"({reached}); to resume it, give another --stop-at-success or --stop-at-return, or "
            "None"
        )


def _check_fit(run: Run, env: Any) -> None:
    """Refuse an environment whose spaces are no longer those that the run was trained in."""
    if "last" in run.state.models:
        with suppress(DamagedModelError):  # the run is resumed from its checkpoint
            check_spaces(str(run.folder), run.load_policy("last"), env)


def _note_versions(run: Run) -> None:
    before, present = run.config.versions, versions()["versions"]
    changed = [
        f"{name} {before.get(name)} -> {present.get(name)}"
        for name in sorted({*before, *present})
        if before.get(name) != present.get(name)
    ]
    if changed:
        err(f"versions have changed, so bits may differ: {', '.join(changed)}")
