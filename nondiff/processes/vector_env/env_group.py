"""The environments of one process of a vector environment."""

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
from nondiff.processes.vector_env.shared_arrays import Layout, Parts, Rows

Env = gymnasium.Env[Any, Any]
Info = dict[str, Any]


@dataclass(frozen=True)
class GroupRecipe:
    """How a process makes its environments.

    Args:
        make_one: makes one; pickled by reference.
        numbers: those of its environments, which are their rows in the shared arrays.
        layout: the shared arrays.
        mode: when an episode follows on one that has ended.
    """

    make_one: Callable[[], Env]
    numbers: range
    layout: Layout
    mode: AutoresetMode
    id: str = "the environment"

    @property
    def stands_alone(self) -> bool:
        """Whether it is one of ours, which needs nothing that is registered elsewhere."""
        return _is_ours(self.make_one)

    def make(self, memory: Any) -> EnvGroup:
        """Make them, over memory that `layout` allocated."""
        return EnvGroup(self.make_one, self.numbers, self.layout.rows(memory), self.mode)


class EnvGroup(gymnasium.Env[Any, Any]):
    """Steps its environments one after another, and writes what they give into shared arrays.

    Infos are answered instead: to pickle one takes under a microsecond, and it may hold anything.

    Raises:
        EnvironmentFailedError: from all methods, an environment raised; it is named by its number.
    """

    def __init__(
        self, make_one: Callable[[], Env], numbers: range, rows: Rows, mode: AutoresetMode
    ) -> None:
        self._mode = mode
        self._numbers = numbers
        self._rows = rows
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
        """Reset those that are chosen; seeds and choice are of the whole vector environment.

        Returns:
            their infos; None of the others.
        """
        return [
            self._begin(number, env, seed=seeds[number], options=options)
            if chosen[number]
            else None
            for number, env in zip(self._numbers, self._envs, strict=True)
        ]

    def step_all(self) -> list[tuple[Info | None, Info]]:
        """Do what the actions say, and begin again where an episode ends, or has ended.

        Returns:
            for each, the last info of an episode that this has followed on, and that of the
            observation.
        """
        return [
            self._step(number, env) for number, env in zip(self._numbers, self._envs, strict=True)
        ]

    def call(self, name: str, some: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        """The values of an attribute of each, called if it can be."""
        return [
            self._called(number, env, name, some, named)
            for number, env in zip(self._numbers, self._envs, strict=True)
        ]

    def call_first(self, name: str, some: tuple[Any, ...]) -> Any:
        """The same of the first alone."""
        return self._called(self._numbers[0], self._envs[0], name, some, {})

    def close(self) -> None:
        """Close them all, also if one raises in it."""
        self._close.close()

    def _step(self, number: int, env: Env) -> tuple[Info | None, Info]:
        rows = self._rows
        ended = rows.terminated[number] or rows.truncated[number]
        if ended and self._mode is AutoresetMode.NEXT_STEP:
            return None, self._begin(number, env)
        try:
            observation, reward, terminated, truncated, info = env.step(rows.action[number].copy())
        except BaseException as error:
            _fail(number, error)
        rows.reward[number] = reward
        rows.terminated[number], rows.truncated[number] = terminated, truncated
        if (terminated or truncated) and self._mode is AutoresetMode.SAME_STEP:
            _write(rows.final, number, observation)
            return _plain(info), self._reset(number, env)
        _write(rows.observation, number, observation)
        return None, _plain(info)

    def _begin(self, number: int, env: Env, **arguments: Any) -> Info:
        """Begin an episode that no step has led to."""
        info = self._reset(number, env, **arguments)
        rows = self._rows
        rows.reward[number] = 0.0
        rows.terminated[number] = rows.truncated[number] = False
        return info

    def _reset(self, number: int, env: Env, **arguments: Any) -> Info:
        try:
            observation, info = env.reset(**arguments)
        except BaseException as error:
            _fail(number, error, " in a reset")
        _write(self._rows.observation, number, observation)
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
    """Whether what makes environments is nondiff's alone, what is bound to it included."""
    if isinstance(made, partial):
        bound = [part for part in (*made.args, *made.keywords.values()) if callable(part)]
        return all(map(_is_ours, [made.func, *bound]))
    return str(getattr(made, "__module__", "")).partition(".")[0] == "nondiff"


def _plain(info: Info) -> Info:
    """An info whose flags and numbers are Python's.

    They are pickled faster, and Gymnasium makes arrays of the same type of them, but of numpy's
    flags an array of objects. Keys by which a vector environment says what has ended are left out.
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
