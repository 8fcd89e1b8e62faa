"""The `nondiff` command, and `train.py` and `evaluate.py` of a checkout."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gymnasium.error import DependencyNotInstalled

from nondiff.errors import EnvironmentFailedError, NondiffError, RunError, UnknownNameError
from nondiff.experiments.stopping import (
    SHELL_CODE,
    Interrupted,
    Stop,
    ctrl_c_noted,
    raised_by_itself,
)
from nondiff.experiments.terminal.console import OutputClosed, err, out, show_warnings_plainly
from nondiff.experiments.terminal.shell_commands import nondiff_line
from nondiff.experiments.terminal.streams import separate_streams
from nondiff.files.kinds import UnsafePathError
from nondiff.text import shortened

if TYPE_CHECKING:
    from nondiff.experiments.run.folder import Run

USAGE = """usage: nondiff COMMAND [OPTIONS]

Train neural networks against objectives that have no gradient.

  train            train a policy on any registered environment
  evaluate         evaluate trained policies, compare two, film one
  compare          train several strategies at several budgets, and report how they compare
  check-gradients  compare the gradients that an environment offers with differences
  demonstrate      keep the episodes of a scripted expert as a Minari dataset
  try              make one call of a simulator and show all of it
  doctor           say what is installed, and how to get what is not
  answer           ask a trained policy for parameters, in your units
  runs             list runs, and draw the learning curves of several
  export           write a policy as a zip of Stable-Baselines3
  import           make a run of such a zip, of which nothing is executed

nondiff COMMAND --help lists a command's options.
"""

# The shell's codes for a program ended by Ctrl-C, or because nobody reads what it prints.
INTERRUPTED = SHELL_CODE + signal.SIGINT
CLOSED = SHELL_CODE + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 1


def main() -> None:
    """Run `nondiff COMMAND`."""
    separate_streams()
    show_warnings_plainly()
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        exit_with(lambda: _usage(0 if arguments else 2), "nondiff")
    command, *rest = arguments
    if command not in COMMANDS:
        _fail(UnknownNameError("command", command, COMMANDS))
    run_command(command, rest, f"nondiff {command}")


def script(command: str, prog: str) -> None:
    """Run a command as a script of a checkout."""
    separate_streams()
    show_warnings_plainly()
    run_command(command, sys.argv[1:], prog)


def run_command(command: str, arguments: list[str], prog: str) -> None:
    """Run a command and exit."""
    exit_with(lambda: COMMANDS[command](arguments, prog), prog)


def exit_with(work: Callable[[], int], prog: str) -> None:
    """Exit with what some work returns; a user's error is one line and exit code 2."""
    with ctrl_c_noted() as by_user:
        try:
            sys.exit(work())
        except KeyboardInterrupt as error:
            if not by_user():
                _fail_in_environment(raised_by_itself(error))
            err("interrupted")
            sys.exit(INTERRUPTED)
        except Exception as error:
            _exit_after(error, prog)


def _exit_after(error: Exception, prog: str) -> None:
    """Say what went wrong in one line, and exit; what nobody has foreseen is raised again."""
    match error:
        case EnvironmentFailedError():
            _fail_in_environment(error)
        case NondiffError() | DependencyNotInstalled():
            _fail(error)
        case Interrupted():
            err(str(error))
            if error.run is not None:
                line = nondiff_line("train", "--resume", error.run, *error.options, prog=prog)
                err(f"go on with: {line}")
            sys.exit(error.code)
        case OutputClosed():
            sys.exit(CLOSED)
        case MemoryError():
            _fail(RunError(f"there is not enough memory: {error or 'none is left'}"))
        case OSError():  # a path that can't be used, or the disk
            place = "" if error.filename is None else f": {error.filename}"
            unsafe = isinstance(error, UnsafePathError)
            _fail(RunError(str(error) if unsafe else f"{error.strerror or error}{place}"))
        case _:
            raise error


def _fail_in_environment(error: EnvironmentFailedError) -> None:
    err(*error.details.splitlines())
    _fail(error)


def _usage(code: int) -> int:
    out(*USAGE.splitlines())
    return code


def _fail(error: Exception) -> None:
    """Print an error in one line, and exit."""
    err(f"error: {shortened(error)}")
    sys.exit(2)


def _train(arguments: list[str], prog: str) -> int:
    train = _training(arguments, prog)  # signals end it at once
    with Stop() as stop:
        run = train(stop)
    _print_result(run, prog)
    return 0


def _training(arguments: list[str], prog: str) -> Callable[[Stop], Run]:
    """What a command line asks for."""
    if any(argument.partition("=")[0] == "--resume" for argument in arguments):
        from nondiff.experiments.commands.resume import parse_resume, resume

        return partial(resume, parse_resume(arguments, prog))
    from nondiff.experiments.commands.train import parse, train

    command = parse(arguments, prog)
    return partial(train, command.options, command.hyperparameters)


def _print_result(run: Run, prog: str) -> None:
    from nondiff.experiments.run.card import headline, stopped

    state = run.state
    line = nondiff_line("evaluate", run.folder, *run.trust_options(), *_film(run), prog=prog)
    out(
        headline(run),
        f"run folder: {run.folder}",
        f"look at it: {line}",
        f"trained {state.steps:,} steps in {state.seconds:.1f} s; "
        f"best model at {state.models['best'].steps:,}; stopped: {stopped(run)}",
    )


def _film(run: Run) -> Sequence[str | Path]:
    """The option that films a policy, where its environment draws pictures."""
    from nondiff.experiments.evaluation.video import can_be_filmed

    return ("--video", run.folder / "video.mp4") if can_be_filmed(run.recipe) else ()


def _evaluate(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.commands.evaluate import parse, print_evaluation

    return print_evaluation(parse(arguments, prog))


def _answer(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.commands.answer import parse, print_answers

    return print_answers(parse(arguments, prog))


def _compare(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.commands.compare import parse, print_comparison

    options = parse(arguments, prog)
    with Stop() as stop:
        return print_comparison(options, stop)


def _runs(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.commands.runs import list_runs, parse

    return list_runs(parse(arguments, prog))


def _export(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.commands.exchange import export_run, parse_export

    return export_run(parse_export(arguments, prog))


def _import(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.commands.exchange import import_run, parse_import

    return import_run(parse_import(arguments, prog))


def _try(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.commands.try_call import parse, try_calls

    return try_calls(parse(arguments, prog))


def _doctor(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.commands.doctor import examine, parse

    return examine(parse(arguments, prog))


def _check_gradients(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.commands.check_gradients import parse, print_check

    return print_check(parse(arguments, prog))


def _demonstrate(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.commands.demonstrate import demonstrate, parse

    options = parse(arguments, prog)
    with Stop() as stop:
        return demonstrate(options, stop)


COMMANDS: dict[str, Callable[[list[str], str], int]] = {
    "train": _train,
    "evaluate": _evaluate,
    "answer": _answer,
    "compare": _compare,
    "check-gradients": _check_gradients,
    "demonstrate": _demonstrate,
    "try": _try,
    "doctor": _doctor,
    "runs": _runs,
    "export": _export,
    "import": _import,
}
