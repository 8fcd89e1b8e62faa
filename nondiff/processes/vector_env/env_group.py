"""The env group of one worker process: its share of a vector environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from nondiff.errors import EnvironmentFailedError
from nondiff.processes.vector_env.resets import FINAL
from nondiff.processes.vector_env.shared_arrays import Layout, Parts, SharedArrays

Env = gymnasium.Env[Any, Any]
Info = dict[str, Any]


@dataclass(frozen=True)
class GroupRecipe:
    """A picklable factory of an env group.

    Args:
        make_one: makes one environment; pickled by reference.
        numbers: indices of the group's environments, which are their rows in the shared arrays.
        layout: the layout of the shared arrays.
        mode: when an environment is reset after an episode.
    """

    make_one: Callable[[], Env]
    numbers: range
    layout: Layout
    mode: AutoresetMode
    id: str = "the environment"

    @property
    def stands_alone(self) -> bool:
        """Whether `make_one` is nondiff's own, so that any process can call it."""
        return _is_ours(self.make_one)

    def make(self, memory: Any) -> EnvGroup:
        """Make the group over memory that `layout` allocated."""
        return EnvGroup(self.make_one, self.numbers, self.layout.views(memory), self.mode)


class EnvGroup(gymnasium.Env[Any, Any]):
    """Steps environments one after another and writes their returns into shared arrays.

    Infos go through the pipe instead: they may hold anything, and pickling one takes under 1 us.

    Raises:
        EnvironmentFailedError: from all methods, an environment raised; the message has its index.
    """

    def __init__(
        self, make_one: Callable[[], Env], numbers: range, arrays: SharedArrays, mode: AutoresetMode
    ) -> None:
        self._mode = mode
        self._numbers = numbers
        self._arrays = arrays
        self._envs: list[Env] = []
        with ExitStack() as made:
            for _ in numbers:
                self._envs.append(make_one())
                made.callback(self._envs[-1].close)
            self._close = made.pop_all()

    def reset_some(
        self,
        seeds: Sequence[int | None],
        options: dict[str, Any] | None,
        chosen: Sequence[bool],
    ) -> list[Info | None]:
        """Reset the chosen environments.

        Args:
            seeds: (num_envs,) seeds of the whole vector environment.
            options: passed to each `reset`.
            chosen: (num_envs,) flags of the whole vector environment.

        Returns:
            the info of each environment of the group; None for those not chosen.
        """
        return [
            self._begin(number, env, seed=seeds[number], options=options)
            if chosen[number]
            else None
            for number, env in zip(self._numbers, self._envs, strict=True)
        ]

    def step_all(self) -> list[tuple[Info | None, Info]]:
        """Step all environments with the shared actions, and reset them as the mode says.

        Returns:
            for each, the final info of an episode that ended and was followed by a reset (else
            None), and the info of the new observation.
        """
        return [
            self._step(number, env) for number, env in zip(self._numbers, self._envs, strict=True)
        ]

    def call(self, name: str, some: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        """Get an attribute of each environment, or call it if it is callable."""
        return [
            self._called(number, env, name, some, named)
            for number, env in zip(self._numbers, self._envs, strict=True)
        ]

    def call_first(self, name: str, some: tuple[Any, ...]) -> Any:
        """Get an attribute of the first environment, or call it if it is callable."""
        return self._called(self._numbers[0], self._envs[0], name, some, {})

    def close(self) -> None:
        """Close all environments, even if one of them raises."""
        self._close.close()

    def _step(self, number: int, env: Env) -> tuple[Info | None, Info]:
        arrays = self._arrays
        ended = arrays.terminated[number] or arrays.truncated[number]
        if ended and self._mode is AutoresetMode.NEXT_STEP:
            return None, self._begin(number, env)
        try:
            observation, reward, terminated, truncated, info = env.step(
                arrays.action[number].copy()
            )
        except BaseException as error:
            _fail(number, error)
        arrays.reward[number] = reward
        arrays.terminated[number], arrays.truncated[number] = terminated, truncated
        if (terminated or truncated) and self._mode is AutoresetMode.SAME_STEP:
            _write(arrays.final, number, observation)
            return _plain(info), self._reset(number, env)
        _write(arrays.observation, number, observation)
        return None, _plain(info)

    def _begin(self, number: int, env: Env, **arguments: Any) -> Info:
        """Reset an environment, and clear its reward and flags."""
        info = self._reset(number, env, **arguments)
        arrays = self._arrays
        arrays.reward[number] = 0.0
        arrays.terminated[number] = arrays.truncated[number] = False
        return info

    def _reset(self, number: int, env: Env, **arguments: Any) -> Info:
        try:
            observation, info = env.reset(**arguments)
        except BaseException as error:
            _fail(number, error, " in a reset")
        _write(self._arrays.observation, number, observation)
        return _plain(info)

    def _called(
        self, number: int, env: Env, name: str, some: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        try:
            value = env.get_wrapper_attr(name)
            return value(*some, **named) if callable(value) else value
        except BaseException as error:
            _fail(number, error, f" asked for {name!r}")


def _is_ours(made: Any) -> bool:
    """Whether a factory, including the callables bound to it, is defined in nondiff."""
    if isinstance(made, partial):
        bound = [part for part in (*made.args, *made.keywords.values()) if callable(part)]
        return all(map(_is_ours, [made.func, *bound]))
    return str(getattr(made, "__module__", "")).partition(".")[0] == "nondiff"


def _plain(info: Info) -> Info:
    """Convert an info's numpy flags and numbers to Python's, and drop reserved keys.

    Python's pickle faster. Gymnasium batches them into arrays of the same type, but numpy's flags
    into arrays of objects. The reserved keys are those of a vector environment's final infos.
    """
    return {
        key: value.item() if isinstance(value, np.bool_ | np.float64) else value
        for key, value in info.items()
        if key not in FINAL
    }


def _write(parts: Parts, number: int, observation: Any) -> None:
    for key, part in parts.items():
        part[number] = observation[key] if key else observation


def _fail(number: int, error: BaseException, when: str = "") -> NoReturn:
    raise EnvironmentFailedError(
        f"environment {number} raised {type(error).__name__}{when}: {error}"
    ) from error
