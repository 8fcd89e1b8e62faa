"""The `try` command: one call of an environment's function or program, shown whole."""

from __future__ import annotations

import copy
import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import gymnasium
import numpy as np
import tyro

from nondiff.agents.seeds import MAX_SEED
from nondiff.env_recipe import EnvRecipe, env_arguments
from nondiff.errors import (
    EnvironmentFailedError,
    InvalidOptionError,
    NondiffError,
    UnknownNameError,
)
from nondiff.experiments.ranges import check_ranges
from nondiff.experiments.terminal.console import out, out_json
from nondiff.experiments.terminal.parsing import AnyPath, parse_options
from nondiff.experiments.terminal.shell_commands import shell_line
from nondiff.labels import name_of, split_label
from nondiff.text import cut

if TYPE_CHECKING:
    from nondiff.black_box import FunctionBox
    from nondiff.black_box.call_trace import CallTrace

FAILED = 1  # exit code where a call failed
MAX_CALLS = 10_000
SHOWN = 4_000  # characters of a text that is printed
PARAMETERS = tyro.conf.arg(metavar="NAME=VALUE ...")


@dataclass(frozen=True)
class TryOptions:
    """Make one call and show what was written, what came back, and what was read from it."""

    env: tyro.conf.Positional[str]
    """Id of any registered environment, such as my_module:MyEnv-v0."""
    parameters: Annotated[tuple[str, ...], PARAMETERS] = ()
    """Parameters in their own units; those left out are in the middle of their bounds."""
    random: int | None = None
    """Make so many calls at random parameters instead; of an environment without parameters, so
    many steps with random actions."""
    seed: int = 0
    """Seed of the random parameters, and of the first reset."""
    env_arg: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE, an argument of the environment; repeat for more."""
    keep: AnyPath | None = None
    """New folder for a copy of the folder that the program ran in, one for each call."""
    json: bool = False
    """Print JSON instead of text."""


def parse(arguments: list[str], prog: str) -> TryOptions:
    """Parse a command line."""
    return parse_options(TryOptions, arguments, prog)


def try_calls(options: TryOptions) -> int:
    """Make the calls and print them; returns the exit code.

    Raises:
        InvalidOptionError: an option out of its range, or one that the environment has no use for.
        UnknownNameError: there is no such environment or parameter.
    """
    from nondiff.black_box import FunctionBox, find_black_box

    check_ranges(
        {
            "random": (1 if options.random is None else options.random, 1, MAX_CALLS),
            "seed": (options.seed, 0, MAX_SEED),
        }
    )
    recipe = EnvRecipe.typed(options.env, env_arguments(options.env_arg))
    with recipe.opened() as env:
        box = find_black_box(env)
        if not isinstance(box, FunctionBox):
            return _try_steps(options, env)
        calls = []
        for number, parameters in enumerate(_parameters(options, box), 1):
            trace = box.trace(parameters, _kept(options, number))
            calls.append(_as_json(box, trace))
            if not options.json:
                out(*_lines(box, trace, number))
    if options.json:
        out_json(calls)
    return FAILED if any(call["failure"] for call in calls) else 0


def _kept(options: TryOptions, number: int) -> Path | None:
    if options.keep is None:
        return None
    home = Path(options.keep)
    if number == 1 and os.path.lexists(home):
        raise InvalidOptionError(f"--keep {home} exists; name a new folder")
    return home / f"call-{number}"


def _parameters(options: TryOptions, box: FunctionBox) -> Iterator[np.ndarray]:
    if options.random is not None:
        if options.parameters:
            raise InvalidOptionError("give --parameters or --random, not both")
        rng = np.random.default_rng(options.seed)
        yield from rng.uniform(box.low, box.high, (options.random, len(box.low)))
        return
    names = [name_of(label) for label in box.parameter_names]
    values = dict(zip(names, (box.low + box.high) / 2, strict=True))
    typed: set[str] = set()
    for text in options.parameters:
        name, equals, value = text.partition("=")
        if name not in values:
            raise UnknownNameError("parameter", name, names)
        if name in typed:
            raise InvalidOptionError(f"--parameters names {name!r} more than once")
        typed.add(name)
        try:
            values[name] = float(value)
        except ValueError:
            raise InvalidOptionError(
                f"--parameters {text!r}: {value!r} is no number"
                if equals
                else f"--parameters {text!r} is not NAME=VALUE"
            ) from None
    yield np.array(list(values.values()))


def _amounts(labels: list[str], values: Any) -> list[str]:
    split = [split_label(label) for label in labels]
    width = max(len(name) for name, _ in split)
    return [
        f"  {name:<{width}} = {value:.10g} {unit}".rstrip()
        for (name, unit), value in zip(split, values, strict=True)
    ]


def _lines(box: FunctionBox, trace: CallTrace, number: int) -> Iterator[str]:
    """What is printed of a call."""
    yield f"call {number}, parameters:"
    yield from _amounts(box.parameter_names, trace.parameters)
    for name, text in trace.written.items():
        yield f"written to {name}:"
        yield from _quoted(text)
    if trace.command:
        yield f"command: {shell_line(*trace.command)}"
    for name, text in trace.read.items():
        if text.strip():
            yield f"{name}:"
            yield from _quoted(text)
    if trace.failure is not None:
        yield f"failed after {trace.seconds:.3g} s: {trace.failure}"
    else:
        yield f"outcome after {trace.seconds:.3g} s:"
        yield from _amounts(box.outcome_names, trace.outcome)


def _quoted(text: str) -> list[str]:
    return [f"  | {line}" for line in cut(text, SHOWN).splitlines()]


def _as_json(box: FunctionBox, trace: CallTrace) -> dict[str, Any]:
    outcome = None if trace.outcome is None else trace.outcome.tolist()
    return {
        "parameters": dict(zip(box.parameter_names, trace.parameters.tolist(), strict=True)),
        "command": trace.command,
        "written": trace.written,
        "read": trace.read,
        "outcome": outcome and dict(zip(box.outcome_names, outcome, strict=True)),
        "failure": trace.failure,
        "seconds": trace.seconds,
    }


def _try_steps(options: TryOptions, env: gymnasium.Env[Any, Any]) -> int:
    """Step an environment that has no parameters with names."""
    for option in ("parameters", "keep"):
        if getattr(options, option):
            raise InvalidOptionError(
                f"--{option}: {options.env} is no FunctionBox or Executable, which have parameters "
                "with names; leave it out, and random actions are taken"
            )
    try:
        steps = _steps(env, options.seed, options.random or 1)
    except NondiffError:
        raise
    except Exception as error:  # of somebody else's environment
        raise EnvironmentFailedError(
            f"{options.env} raised {type(error).__name__}: {error}", traceback.format_exc()
        ) from error
    if options.json:
        out_json(steps)
    else:
        for number, step in enumerate(steps):
            out("reset:" if number == 0 else f"step {number}:")
            out(*(f"  {name}: {cut(str(value), SHOWN)}" for name, value in step.items()))
    return 0


def _steps(env: gymnasium.Env[Any, Any], seed: int, count: int) -> list[dict[str, Any]]:
    """What a reset and some steps with random actions return."""
    observation, _ = env.reset(seed=seed)
    actions = copy.deepcopy(env.action_space)
    actions.seed(seed)
    steps: list[dict[str, Any]] = [{"observation": _plain(observation)}]
    for _ in range(count):
        action = actions.sample()
        observation, reward, terminated, truncated, info = env.step(action)
        steps.append(
            {
                "action": _plain(action),
                "observation": _plain(observation),
                "reward": float(reward),
                "terminated": bool(terminated),
                "truncated": bool(truncated),
                "info": _plain(info),
            }
        )
        if terminated or truncated:
            env.reset()
    return steps


def _plain(value: Any) -> Any:
    """Numbers and lists of an observation, an action or an info."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value if isinstance(value, str | int | float | bool | None) else str(value)
