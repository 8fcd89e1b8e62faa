"""The `answer` command: what a trained policy proposes for requests of the user's."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.table import Table

from nondiff.errors import InvalidOptionError
from nondiff.experiments.evaluation.fit import check_spaces
from nondiff.experiments.ranges import check_ranges
from nondiff.experiments.run.folder import Run
from nondiff.experiments.terminal.console import err, out_json, out_table
from nondiff.experiments.terminal.parsing import AnyPath, parse_options
from nondiff.files.inputs import read_input
from nondiff.labels import name_of

if TYPE_CHECKING:
    from nondiff.agents.answers import Answer
    from nondiff.agents.strategy import TrainedPolicy
    from nondiff.black_box import FunctionBox

FAILED = 1  # exit code where the call for an answer failed
MAX_CALLS = 10**6
MAX_BYTES = 10**8  # of a CSV file
REQUEST = tyro.conf.arg(metavar="NAME=VALUE ...")


@dataclass(frozen=True)
class AnswerOptions:
    """Ask a trained policy for parameters, in your units, and see what they lead to."""

    run: tyro.conf.Positional[AnyPath]
    """The run folder, of an environment made of a FunctionBox or an Executable."""
    request: Annotated[tuple[str, ...], REQUEST] = ()
    """What is asked for, each entry of a context by its name."""
    csv: AnyPath | None = None
    """File of requests, one a line, whose first line names the columns; others are left alone."""
    call: bool = True
    """Call the function or program once for each request, to see the true outcome."""
    refine: int = 0
    """Calls for each request to improve the answer with, beside that one."""
    model: Literal["best", "last"] = "best"
    """Which model of the run."""
    trust: bool = False
    """Import and start what somebody else's run names, which may be any code."""
    json: bool = False
    """Print JSON instead of a table."""


def parse(arguments: list[str], prog: str) -> AnswerOptions:
    """Parse a command line."""
    return parse_options(AnswerOptions, arguments, prog)


def print_answers(options: AnswerOptions) -> int:
    """Answer the requests and print the answers; returns the exit code.

    Raises:
        RunError: there is no such run, or it has no such model.
        UnknownNameError, InvalidOptionError: a request that the environment can't have.
    """
    from nondiff.agents.answers import answer

    check_ranges({"refine": (options.refine, 0, MAX_CALLS)})
    if bool(options.request) == (options.csv is not None):
        raise InvalidOptionError("give one of --request NAME=VALUE ... and --csv FILE")
    run = Run.open(Path(options.run), options.trust)
    policy = run.load_policy(options.model)
    with opened_box(run, policy) as box:
        requests = [_typed(options.request)] if options.csv is None else _read(options.csv, box)
        answers = answer(policy, box, requests, options.call, options.refine)
        if options.json:
            out_json([asdict(one) for one in answers])
        else:
            out_table(_table(box, answers))
            for number, one in enumerate(answers, 1):
                err(*(f"request {number}: {text}" for text in one.warnings))
    return FAILED if any(one.failure for one in answers) else 0


@contextmanager
def opened_box(run: Run, policy: TrainedPolicy) -> Iterator[FunctionBox]:
    """The function or program that a run was trained on.

    Raises:
        InvalidOptionError: its environment is no `FunctionBox`, or does not fit the policy.
    """
    from nondiff.black_box import FunctionBox, find_black_box

    with run.recipe.opened() as env:
        box = find_black_box(env)
        if not isinstance(box, FunctionBox):
            raise InvalidOptionError(
                f"{run.folder} was trained on {run.config.env}, which is no FunctionBox or "
                "Executable and has no requests with names; look at it with 'nondiff evaluate'"
            )
        check_spaces(str(run.folder), policy, env)
        yield box


def _typed(pairs: Sequence[str]) -> dict[str, float]:
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidOptionError(f"--request {pair!r} is not NAME=VALUE")
        if name in found:
            raise InvalidOptionError(f"--request names {name!r} more than once")
        found[name] = _number(f"--request {name}", text)
    return found


def _read(path: Path | str, box: FunctionBox) -> list[dict[str, float]]:
    """The requests of a CSV file; a column may say the unit, as `load [kN]`."""
    try:
        text = read_input(Path(path), MAX_BYTES).decode("utf-8-sig")
        header, *rows = csv.reader(io.StringIO(text, newline=""))
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InvalidOptionError(f"--csv {path} can't be read: {error or 'no lines'}") from error
    names = [name_of(name).strip() for name in header]
    if twice := [name for name in box.context_names if names.count(name) > 1]:
        raise InvalidOptionError(f"--csv {path} has the column {twice[0]!r} more than once")
    if not any(rows):
        raise InvalidOptionError(f"--csv {path} holds no request")
    columns = {name: place for place, name in enumerate(names)}
    if missing := [name for name in box.context_names if name not in columns]:
        raise InvalidOptionError(
            f"--csv {path} has no column {missing[0]!r}; it has {', '.join(columns)}"
        )
    return [
        {
            name: _number(f"--csv {path}, line {line}, {name}", _cell(row, columns[name]))
            for name in box.context_names
        }
        for line, row in enumerate(rows, 2)
        if row
    ]


def _cell(row: Sequence[str], place: int) -> str:
    return row[place] if place < len(row) else ""


def _number(where: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidOptionError(f"{where}: {text!r} is no number") from None


def _table(box: FunctionBox, answers: Sequence[Answer]) -> Table:
    table = Table()
    labels = [box.context_names, box.parameter_names, [f"true {n}" for n in box.outcome_names]]
    for label in [*labels[0], *labels[1], *labels[2], "reward", "calls"]:
        table.add_column(label, justify="right", overflow="fold")
    for one in answers:
        shown = [*one.request.values(), *one.parameters.values()]
        outcome = [None] * len(labels[2]) if one.outcome is None else one.outcome.values()
        values = [*shown, *outcome, one.reward]
        table.add_row(*("-" if v is None else f"{v:.6g}" for v in values), str(one.calls))
    return table
