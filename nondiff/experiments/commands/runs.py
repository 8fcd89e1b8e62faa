"""The `runs` command: which runs there are, how they stand, and their learning curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from nondiff.errors import RunError
from nondiff.experiments.run.file_names import CONFIG
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.schema import RunState
from nondiff.experiments.terminal.console import err, out_json, out_table
from nondiff.experiments.terminal.parsing import parse_options
from nondiff.files.safe_path import SafePath
from nondiff.text import cut, shortened

# What a file that nondiff did not write may cause, beside what it is checked for.
DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError)
SHOWN = 200  # characters of an environment's arguments


@dataclass(frozen=True)
class RunsOptions:
    """List runs and how they stand; draw the learning curves of several."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional] = (Path("runs"),)
    """Run folders, or folders that hold them."""
    plot: Path | None = None
    """Draw their learning curves into this .png, .pdf or .svg file. Runs that differ in the seed
    alone become one curve, their mean with its 95 % interval; one that ended early counts on with
    its last value."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Entry:
    """How a run stands.

    Success and return are those of its held-out evaluation if it is finished, of its latest
    evaluation otherwise, and None if it has none.
    """

    run: str
    state: str
    stop_reason: str | None = None
    environment: str | None = None
    strategy: str | None = None
    seed: int | None = None
    steps: int | None = None
    budget: int | None = None
    success: float | None = None
    return_mean: float | None = None
    updated: str | None = None


def parse(arguments: list[str], prog: str) -> RunsOptions:
    """Parse a command line."""
    return parse_options(RunsOptions, arguments, prog)


def list_runs(options: RunsOptions) -> int:
    """Print the runs, and draw them; returns the exit code.

    Raises:
        RunError: there is no run.
        InvalidOptionError: no picture can be written to the path.
    """
    if options.plot is not None:
        from nondiff.experiments.plots.curves import check_picture_path

        check_picture_path(options.plot)
    runs, entries = [], []
    for files in _find(options.folders):
        folder = files.path
        try:
            run = Run.open(files)
            entries.append(_entry(run))
            if options.plot is not None:
                runs.append(run)
        except (RunError, *DAMAGE) as error:
            err(shortened(f"{folder}: {error}"))
            entries.append(Entry(str(folder), "damaged"))
    if options.json:
        out_json([asdict(entry) for entry in entries])
    else:
        _print_table(entries)
    if options.plot is not None:
        from nondiff.experiments.plots.curves import draw_curves

        draw_curves(runs, options.plot)
        err(f"drew {options.plot}")
    return 0


def _find(folders: tuple[Path, ...]) -> list[SafePath]:
    found = [run for folder in folders for run in _runs_in(folder)]
    if not found:
        names = ", ".join(map(str, folders))
        raise RunError(f"there are no runs in {names}; a run folder holds {CONFIG}")
    return found


def _runs_in(folder: Path) -> Iterator[SafePath]:
    """The run of a folder, or the runs in it; a link in it may be one, but is not followed."""
    files = SafePath(folder)
    if files.kind() != "folder":
        return
    if (files / CONFIG).is_anything():
        yield files
    else:
        yield from (files / name for name in files.names() if _may_be_run(files / name))


def _may_be_run(place: SafePath) -> bool:
    try:
        if place.name.startswith("."):
            return False
        return place.is_link() or (place.kind() == "folder" and (place / CONFIG).is_anything())
    except OSError:  # a pipe or a device, or a folder that nobody may look into
        return False


def _entry(run: Run) -> Entry:
    success, return_mean = _scores(run.state)
    return Entry(
        run=str(run.folder),
        state=run.status(),
        environment=_environment(run),
        stop_reason=run.stop_reason,
        strategy=run.config.strategy,
        seed=run.config.seed,
        steps=run.state.steps,
        budget=run.asked.budget,
        success=success,
        return_mean=return_mean,
        updated=run.state.updated,
    )


def _scores(state: RunState) -> tuple[float | None, float | None]:
    """Success rate and mean return."""
    result, latest = state.result, state.latest
    if state.state == "finished" and result is not None:
        success = None if result.success is None else result.success.value
        return success, result.return_mean.value
    return (None, None) if latest is None else (latest.success, latest.return_mean)


def _environment(run: Run) -> str:
    arguments = [f"{key}={value}" for key, value in run.config.env_arguments.items()]
    return cut(" ".join([run.config.env, *arguments]), SHOWN)


def _print_table(entries: list[Entry]) -> None:
    table = Table()
    for heading in ("run", "environment", "strategy", "seed", "steps", "success", "return"):
        right = heading in ("seed", "steps", "success", "return")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for heading in ("state", "stop reason", "last change, UTC"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        table.add_row(*_row(entry))
    out_table(table, file_width=160)


def _row(entry: Entry) -> list[str]:
    if entry.steps is None or entry.budget is None:
        return [entry.run, *["-"] * 6, entry.state, "-", "-"]
    return [
        entry.run,
        entry.environment or "-",
        entry.strategy or "-",
        str(entry.seed),
        f"{entry.steps:,} of {entry.budget:,}, {entry.steps / max(1, entry.budget):.0%}",
        "-" if entry.success is None else f"{entry.success:.1%}",
        "-" if entry.return_mean is None else f"{entry.return_mean:.4g}",
        entry.state,
        entry.stop_reason or "-",
        (entry.updated or "-").replace("T", " ").rstrip("Z"),
    ]
