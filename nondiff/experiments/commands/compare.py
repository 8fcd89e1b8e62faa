"""The `compare` command: environments x strategies x budgets x seeds, and how they compare."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nondiff.errors import InvalidOptionError, RunError
from nondiff.experiments.comparison.cell_process import CellTraining, Order
from nondiff.experiments.comparison.cell_result import Refusal, read_record, write_record
from nondiff.experiments.comparison.cells import RUNS, Cell, Plan, plan_cells
from nondiff.experiments.comparison.jobs import Job, run_jobs
from nondiff.experiments.comparison.outputs import RESULTS, TABLE, check_comparison
from nondiff.experiments.comparison.references import Reference, read_references
from nondiff.experiments.comparison.results import Results, collect
from nondiff.experiments.ranges import MAX_EPISODES, MAX_STEPS, check_ranges
from nondiff.experiments.run.file_names import CONFIG
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.locks import lock_folder
from nondiff.experiments.stopping import SHELL_CODE, Interrupted, Stop
from nondiff.experiments.terminal.console import err, out
from nondiff.experiments.terminal.parsing import AnyPath, parse_options
from nondiff.experiments.terminal.shell_commands import shell_line
from nondiff.files.safe_path import SafePath
from nondiff.files.untrusted_json import MAX_BYTES

CELL_PROCESS = (
    "nondiff.experiments.comparison.cell_process"  # the module that trains and evaluates a cell
)
LOG_BYTES = 2**16  # at the end of a log, in which an error is looked for
INCOMPLETE = 1  # exit code where a cell has no result
MAX_JOBS = MAX_SEEDS = 1000
STOPPED = tuple(SHELL_CODE + number for number in (signal.SIGINT, signal.SIGTERM))


@dataclass(frozen=True)
class CompareOptions:
    """Train several strategies, evaluate them on held-out data, and report how they compare.

    Every environment is trained on with every strategy, budget and seed. The same command again
    is resumed where it was stopped.
    """

    envs: tuple[str, ...]
    """Ids of registered environments."""
    strategies: tuple[str, ...]
    """Ways to train: see nondiff train --help."""
    budgets: tuple[int, ...]
    """Simulator calls, which are environment steps, that a training may make."""
    folder: AnyPath
    """Where all of it is kept, such as comparisons/NAME."""
    seeds: int = 5
    """Trainings of each kind, with the seeds 0, 1, ..."""
    jobs: int = 1
    """Trainings at a time, each in a process of its own."""
    episodes: int = 512
    """Held-out episodes on which the last model of a training is evaluated."""
    targets: tuple[float, ...] = ()
    """Mean returns to which calls are counted; empty: quantiles of what was reached."""
    train_arg: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A further option for every training, as in --train-arg=--learning-rate=1e-3, or for those of
    one strategy, as in --train-arg=ppo:--n-steps=64; repeat for more."""
    references: AnyPath | None = None
    """JSON file of results from elsewhere: [{"name", "env", "calls", "returns": [...]}, ...]."""
    retry_failed: bool = False
    """Try again what failed or was refused."""
    html: bool = True
    """Write report.html."""
    json: bool = False
    """Print JSON instead of a table."""


def parse(arguments: list[str], prog: str) -> CompareOptions:
    """Parse a command line."""
    return parse_options(CompareOptions, arguments, prog)


def print_comparison(options: CompareOptions, stop: Stop) -> int:
    """Compare, and print the table; returns the exit code."""
    results = compare(options, stop)
    written = SafePath(Path(options.folder)) / (RESULTS if options.json else TABLE)
    out(*written.read(MAX_BYTES).decode().removesuffix("\n").split("\n"))
    return INCOMPLETE if results.missing else 0


def compare(options: CompareOptions, stop: Stop | None = None) -> Results:
    """Train what is not trained yet, evaluate it, and write the report, as the command does.

    Raises:
        NondiffError: an option is wrong, a run folder there was made with others (nothing is
            trained then), or no cell has a result.
        Interrupted: `stop` was asked for; what is finished stays.
    """
    _check(options)
    stop = stop or Stop()  # which nothing asks for
    folder = Path(options.folder)
    references = read_references(
        None if options.references is None else Path(options.references), options.envs
    )
    check_comparison(SafePath(folder))
    plan = plan_cells(
        folder,
        options.envs,
        options.strategies,
        options.budgets,
        options.seeds,
        options.train_arg,
    )
    (plan.files / RUNS).make_folder()
    lock = lock_folder(folder)
    try:
        _train(plan, options, stop)
        return _report(plan, references, options)
    finally:
        lock.release()


def _report(plan: Plan, references: Sequence[Reference], options: CompareOptions) -> Results:
    from nondiff.experiments.comparison.report import write_report

    results = collect(plan, references, options.targets)
    if not results.rows:
        first = results.missing[0]
        raise RunError(f"no training has a result; {first.cell}: {first.error}")
    write_report(plan, results, command_of(options), html=options.html)
    return results


def command_of(options: CompareOptions) -> str:
    """The command line that compares so."""
    parts: list[str | Path] = ["nondiff", "compare", "--envs", *options.envs]
    parts += ["--strategies", *options.strategies]
    parts += ["--budgets", *map(str, options.budgets), "--seeds", str(options.seeds)]
    parts += ["--episodes", str(options.episodes), "--folder", Path(options.folder)]
    parts += ["--targets", *map(repr, options.targets)] if options.targets else []
    parts += [f"--train-arg={argument}" for argument in options.train_arg]
    parts += ["--references", Path(options.references)] if options.references else []
    return shell_line(*parts)


def _check(options: CompareOptions) -> None:
    for name in ("envs", "strategies", "budgets"):
        if not getattr(options, name):
            raise InvalidOptionError(f"--{name} needs at least one")
    ranges: dict[str, tuple[float, float, float]] = {
        "seeds": (options.seeds, 1, MAX_SEEDS),
        "jobs": (options.jobs, 1, MAX_JOBS),
        "episodes": (options.episodes, 1, MAX_EPISODES),
    }
    check_ranges(ranges)
    for budget in options.budgets:
        check_ranges({"budgets": (budget, 1, MAX_STEPS)})
    for target in options.targets:
        check_ranges({"targets": (target, -math.inf, math.inf)})


def _train(plan: Plan, options: CompareOptions, stop: Stop) -> None:
    """Run the processes of all cells that have come to nothing yet."""
    jobs = [job for cell in plan.cells if (job := _job(plan, cell, options)) is not None]
    total, done = len(plan.cells), len(plan.cells) - len(jobs)
    if done:
        err(f"{done} of {total} trainings are there already")

    def ended(job: Job[Cell], code: int) -> None:
        nonlocal done
        done += 1
        err(f"[{done}/{total}] {job.of}: {_ending(plan, job, code)}")

    try:
        run_jobs(jobs, options.jobs, ended, stop)
    except Interrupted as error:
        error.args = (
            f"{error}; {done} of {total} trainings are done and kept in {plan.folder}; "
            f"go on with: {command_of(options)}",
        )
        raise


def _job(plan: Plan, cell: Cell, options: CompareOptions) -> Job[Cell] | None:
    """What is left to do for a cell; None: nothing."""
    path = plan.record_path(cell)
    record = read_record(path)
    if record is not None:
        if record["state"] == "failed":
            done = not options.retry_failed
        else:
            done = len(record["returns"]) == options.episodes
        if done:
            return None
        path.remove_file()
    order = Order(
        parent=os.getpid(),
        comparison=str(plan.folder),
        cell=cell.name,
        episodes=options.episodes,
        training=_training(plan, cell),
        resumes=(plan.run_folder(cell) / CONFIG).is_anything(),
    )
    return Job(cell, (CELL_PROCESS, order.to_json()), plan.log_path(cell))


def _training(plan: Plan, cell: Cell) -> CellTraining | None:
    """What a cell is trained with; None: it has been trained."""
    folder = plan.run_folder(cell)
    if (folder / CONFIG).is_anything() and Run.open(folder).status() == "finished":
        return None
    return CellTraining(*plan.training(cell))


def _ending(plan: Plan, job: Job[Cell], code: int) -> str:
    """How a process ended, in words; a failure is recorded, an interruption is not."""
    if code == 0:
        record = read_record(plan.record_path(job.of))
        assert record is not None
        assert record["state"] == "evaluated"
        returns = record["returns"]
        return f"return {sum(returns) / len(returns):.4g} over {len(returns)} held-out episodes"
    if code < 0 or code in STOPPED:
        return f"interrupted ({f'signal {-code}' if code < 0 else f'exit code {code}'})"
    record = read_record(plan.record_path(job.of))  # which it wrote if it could
    if record is None:
        record = Refusal(state="failed", error=_last_line(job.log))
        write_record(plan.record_path(job.of), record)
    assert record["state"] == "failed"
    return f"failed: {record['error']}"


def _last_line(log: SafePath) -> str:
    """The last words of a process that ended without a result."""
    text = log.read_end(LOG_BYTES).decode(errors="replace")
    return ([line for line in text.splitlines() if line.strip()] or ["it said nothing"])[-1]
