"""Options of trainings, as `--train-arg` gives them: --OPTION=VALUE, for one strategy or all."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from nondiff.agents import STRATEGIES
from nondiff.agents.presets import preset_for
from nondiff.agents.strategy import Strategy
from nondiff.errors import InvalidOptionError
from nondiff.experiments.commands.train import TrainOptions, recipe_of
from nondiff.validation import first_fault

T = TypeVar("T")

OWN = ("env", "strategy", "budget", "seed", "name", "runs", "resume")  # a comparison's to set
REPEATED = ("env_arg", "wrapper")  # options that are given again for more
WORDS = {"None": None, "True": True, "False": False}


@dataclass(frozen=True)
class TrainArg:
    """One option of a training.

    Args:
        said: as the user gave it.
        strategy: whose trainings it is for; "": all.
        name: of the field.
        value: its text; None: a flag that is set.
    """

    said: str
    strategy: str
    name: str
    value: str | None

    @classmethod
    def parse(cls, said: str) -> TrainArg:
        """Parse an option.

        Raises:
            InvalidOptionError: another form, or an option that a comparison sets itself.
        """
        prefix, dashes, option = said.partition("--")
        name, given, value = option.partition("=")
        if not dashes or prefix not in ("", *(f"{strategy}:" for strategy in STRATEGIES)):
            raise InvalidOptionError(
                f"--train-arg {said!r} is neither --OPTION=VALUE nor STRATEGY:--OPTION=VALUE"
            )
        field = name.replace("-", "_")
        if field in OWN:
            raise InvalidOptionError(f"--train-arg {said!r}: a comparison sets --{name} itself")
        return cls(said, prefix.removesuffix(":"), field, value if given else None)


def with_train_args(
    options: TrainOptions, args: Sequence[TrainArg]
) -> tuple[TrainOptions, Strategy]:
    """The options and the strategy of a training, its preset's but for what is given.

    Raises:
        NondiffError: an option that neither has, or a value that is not one of its.
    """
    own = [arg for arg in args if arg.strategy in ("", options.strategy)]
    own.sort(key=lambda arg: arg.strategy)  # those for this one alone come last, and prevail
    options = _set(options, [arg for arg in own if _field(arg, options)])
    preset = preset_for(options.strategy, recipe_of(options))
    if options.eval_episodes is None:
        options = replace(options, eval_episodes=preset.eval_episodes)
    strategy = _set(preset.strategy, [arg for arg in own if not _field(arg, options)])
    return options, strategy


def _field(arg: TrainArg, kind: object) -> str | None:
    """The field of a dataclass that an option sets, if it has one."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return next((name for name in (arg.name, arg.name.removeprefix("no_")) if name in names), None)


def _set(values: T, args: Sequence[TrainArg]) -> T:
    hints = get_type_hints(type(values), include_extras=True)
    changes: dict[str, Any] = {}
    for arg in args:
        name = _field(arg, values)
        if name is None:
            raise InvalidOptionError(_unknown(arg, values))
        value = _value(arg, name, hints[name])
        if name in REPEATED:
            value = (*changes.get(name, ()), *value)
        changes[name] = value
    return replace(values, **changes)  # type: ignore[type-var]


def _value(arg: TrainArg, name: str, hint: Any) -> Any:
    kinds = set(_kinds(hint))
    if arg.value is None:
        if bool not in kinds:
            raise InvalidOptionError(f"--train-arg {arg.said!r} needs a value")
        return arg.name == name  # --no-NAME
    value: Any = WORDS.get(arg.value, arg.value)
    if tuple in kinds and value is not None:
        value = _items(arg.value, is_text=name in REPEATED)
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise InvalidOptionError(f"--train-arg {arg.said!r}: {first_fault(error)}") from error


def _kinds(hint: Any) -> Iterator[Any]:
    """The types of which a value may be one, without what is said about them."""
    if get_origin(hint) is Annotated:
        yield from _kinds(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from _kinds(part)
    else:
        yield get_origin(hint) or hint


def _items(text: str, is_text: bool) -> list[Any]:
    """The items of a tuple: those of a JSON list, or parted by commas, or the one text there is."""
    if is_text:
        return [text]
    if text.startswith("["):
        try:
            found: list[Any] = json.loads(text)
        except ValueError:
            return [text]
        return found
    return [part.strip() for part in text.split(",") if part.strip()]


def _unknown(arg: TrainArg, strategy: Any) -> str:
    known = [field.name for kind in (TrainOptions, strategy) for field in fields(kind)]
    known = [name.replace("_", "-") for name in known if name not in OWN]
    option = arg.name.replace("_", "-")
    close = difflib.get_close_matches(option, known, 3) or known
    return (
        f"--train-arg {arg.said!r}: {strategy.name} has no option --{option}; choose from "
        f"{', '.join(f'--{name}' for name in close)}; one for another strategy alone is given as "
        "STRATEGY:--OPTION=VALUE"
    )
