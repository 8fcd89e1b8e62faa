"""The `nondiff` command, and `train.py` and `evaluate.py` of a checkout."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from gymnasium.error import DependencyNotInstalled

from nondiff.envs.errors import NondiffError, UnknownNameError

USAGE = """usage: nondiff COMMAND [OPTIONS]

Train neural networks against objectives that have no gradient.

  train     train a policy on any registered environment
  evaluate  judge trained policies, compare two, film one

nondiff COMMAND --help lists a command's options.
"""

INTERRUPTED = 130  # the shell's code for a program ended by Ctrl-C


def main() -> None:
    """Run `nondiff COMMAND`."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        sys.exit(0 if arguments else 2)
    command, *rest = arguments
    if command not in COMMANDS:
        _fail(UnknownNameError("command", command, COMMANDS))
    run_command(command, rest, f"nondiff {command}")


def run_command(command: str, arguments: list[str], prog: str) -> None:
    """Run a command and exit; a user's error is one line and exit code 2."""
    try:
        sys.exit(COMMANDS[command](arguments, prog))
    except (NondiffError, DependencyNotInstalled) as error:
        _fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; models kept so far stay in the run folder\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)


def _fail(error: Exception) -> None:
    sys.stderr.write(f"error: {error}\n")
    sys.exit(2)


def _train(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.card import headline
    from nondiff.experiments.train import parse, train

    command = parse(arguments, prog)
    run = train(command.options, command.hyperparameters)
    state = run.state
    sys.stdout.write(
        f"{headline(run)}\n"
        f"trained {state['steps']:,} steps in {state['seconds']:.1f} s; "
        f"best model at {state['models']['best']['steps']:,}\n"
        f"run folder: {run.folder}\n"
        f"look at it: {_evaluate_command(prog)} {run.folder} --video {run.folder / 'video.mp4'}\n"
    )
    return 0


def _evaluate_command(prog: str) -> str:
    if not prog.endswith("train.py"):
        return "nondiff evaluate"
    python = Path(os.path.relpath(sys.executable))
    return f"{'python' if '..' in python.parts else python} evaluate.py"


def _evaluate(arguments: list[str], prog: str) -> int:
    from nondiff.experiments.evaluate import evaluate, parse

    return evaluate(parse(arguments, prog))


COMMANDS: dict[str, Callable[[list[str], str], int]] = {"train": _train, "evaluate": _evaluate}
