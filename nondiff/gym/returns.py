"""Check what third-party environments return from `reset` and `step`."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from nondiff.errors import InvalidReturnError
from nondiff.text import cut

Env = gymnasium.Env[Any, Any]
RESET = "(observation, info)"
STEP = "(observation, reward, terminated, truncated, info)"
# Keys that Stable-Baselines3 and Gymnasium's vector environments put into `info` themselves.
RESERVED = frozenset(
    {"episode", "terminal_observation", "TimeLimit.truncated", "final_obs", "final_info"}
)
SHOWN = 100  # characters of a value that a message quotes


class CheckedReturns(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Validates the returns of `reset` and `step`, and converts rewards and flags.

    Rewards become floats and flags become bools if they are numbers or arrays of size 1. The bounds
    of a Box are not enforced, as in Gymnasium; the choices of discrete spaces are.

    Raises:
        InvalidReturnError: from `reset` and `step`; names the environment, the step, the value and
            what was expected.
    """

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._step: int | None = None  # number within the episode; None: no episode has begun

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The spec of the wrapped environment: every `EnvRecipe.make` adds this wrapper again."""
        return self.env.spec

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        self._step = None
        given: Any = self._called(lambda: self.env.reset(**arguments))
        if not isinstance(given, tuple) or len(given) != 2:
            self._refuse("", given, f"is not {RESET}")
        observation, info = given
        self._check_observation(self.observation_space, observation, "the observation")
        info = self._check_info(info)
        self._step = 0
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._step = (self._step or 0) + 1
        given: Any = self._called(lambda: self.env.step(action))
        if not isinstance(given, tuple) or len(given) != 5:
            self._refuse("", given, f"is not {STEP}")
        observation, reward, terminated, truncated, info = given
        self._check_observation(self.observation_space, observation, "the observation")
        return (
            observation,
            self._number(reward),
            self._flag("terminated", terminated),
            self._flag("truncated", truncated),
            self._check_info(info),
        )

    def _called(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except SystemExit as end:
            self._refuse("", end.code, "is nothing, for it called sys.exit")

    def _number(self, reward: Any) -> float:
        if type(reward) is float:
            return reward
        one = _single(reward)
        if isinstance(one, numbers.Real | np.bool_) or hasattr(one, "as_integer_ratio"):
            with suppress(OverflowError, ValueError, ArithmeticError):
                return float(one)  # also of a Fraction, and of a Decimal
        self._refuse("the reward", reward, "is not a number")

    def _flag(self, name: str, value: Any, advice: str = "") -> bool:
        if type(value) is bool:
            return value
        one = _single(value)
        if isinstance(one, np.bool_ | numbers.Real) and one in (0, 1):
            return bool(one)
        self._refuse(name, value, f"is not True or False{advice}")

    def _check_info(self, info: Any) -> dict[str, Any]:
        if not isinstance(info, dict):
            self._refuse("info", info, "is not a dict")
        if not RESERVED.isdisjoint(info):
            info = dict(info)
            for key in RESERVED:
                info.pop(key, None)
        if "is_success" in info:
            found = info["is_success"]
            if not isinstance(found, bool | np.bool_):
                advice = "; leave the key out where there is no answer"
                info["is_success"] = self._flag("info['is_success']", found, advice)
        return cast(dict[str, Any], info)

    def _check_observation(self, space: spaces.Space[Any], value: Any, what: str) -> None:
        if isinstance(space, spaces.Dict):
            if not isinstance(value, dict) or value.keys() != space.spaces.keys():
                due = ", ".join(map(repr, space.spaces))
                self._refuse(what, value, f"is not a dict of {due}")
            for key, part in space.spaces.items():
                self._check_observation(part, value[key], f"observation {key!r}")
        elif isinstance(space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
            array = self._array(value, what)
            if array.shape != space.shape:
                self._refuse(what, value, f"has shape {array.shape}, not {space.shape} of {space}")
            if isinstance(space, spaces.Box) and not is_as_whole(space, array):
                self._refuse(what, value, f"is not of whole numbers, as {space} is")
            if not (isinstance(space, spaces.Box) or _holds(space, array)):
                self._refuse(what, value, f"is not in {space}")
        elif isinstance(space, spaces.Discrete) and not _holds(space, _single(value)):
            self._refuse(what, value, f"is not in {space}")

    def _array(self, value: Any, what: str) -> np.ndarray[Any, Any]:
        try:
            array = np.asarray(value)
        except ValueError:  # a ragged list
            self._refuse(what, value, "is not an array of numbers")
        if array.dtype.kind not in "biuf":
            self._refuse(what, value, "is not an array of numbers")
        return array

    def _refuse(self, what: str, given: Any, why: str) -> NoReturn:
        call = "reset" if self._step is None else f"step {self._step} of an episode"
        what = what or "what it returned"
        spec = self.env.spec
        name = type(self.env.unwrapped).__name__ if spec is None else spec.id
        raise InvalidReturnError(f"{name}, {call}: {what} {why}, but {_shown(given)}")


def parts(observation: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a nested observation with keys joined by "/"; "" for a single array."""
    if isinstance(observation, Mapping):
        for key, part in observation.items():
            yield from parts(part, f"{name}/{key}" if name else str(key))
    else:
        yield name, observation


def has_checked_returns(env: Env) -> bool:
    """Whether an environment is wrapped in `CheckedReturns`, as third-party ones are."""
    return isinstance(env, CheckedReturns)


def _single(value: Any) -> Any:
    """The entry of an array of size 1; anything else is returned unchanged."""
    if isinstance(value, np.ndarray) and value.size == 1:
        return value.reshape(()).item()
    return value


def is_as_whole(space: spaces.Box, values: np.ndarray[Any, Any]) -> bool:
    """Whether values are whole numbers, as an integer Box requires; True for other Boxes."""
    if values.dtype.kind != "f" or np.issubdtype(space.dtype, np.floating):
        return True
    return bool((np.isfinite(values) & (values == np.rint(values))).all())


def _holds(space: spaces.Space[Any], value: Any) -> bool:
    """Whether a discrete space contains a value, of whatever integer type."""
    if isinstance(space, spaces.Discrete):
        whole = isinstance(value, numbers.Integral | np.bool_)
        return whole and bool(space.start <= int(value) < space.start + space.n)
    if value.dtype.kind == "f":
        return False
    if isinstance(space, spaces.MultiBinary):
        return bool(((value == 0) | (value == 1)).all())
    assert isinstance(space, spaces.MultiDiscrete)
    wide = value.astype(np.int64)
    return bool(((wide >= space.start) & (wide < space.start + space.nvec)).all())


def _shown(given: Any) -> str:
    try:
        text = " ".join(repr(given).split())
    except Exception as error:
        text = f"what can't be shown: {type(error).__name__}"
    kind = type(given).__name__
    return f"{cut(text, SHOWN)} ({kind})"


def checked(env: Env, is_wrapped: bool) -> Env:
    """Wrap an environment in `CheckedReturns`, unless it is one of nondiff's own.

    Args:
        env: the environment.
        is_wrapped: whether the user has wrapped it.
    """
    return env if is_ours(env) and not is_wrapped else CheckedReturns(env)


def is_ours(env: Env) -> bool:
    """Whether an environment is registered by nondiff, regardless of wrappers."""
    entry = None if env.spec is None else env.spec.entry_point
    return isinstance(entry, str) and entry.startswith("nondiff.")
