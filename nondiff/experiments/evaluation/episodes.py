"""Plays episodes, one for each of a list of seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from nondiff.agents.strategy import Policy
from nondiff.errors import EnvironmentFailedError, NonFiniteError, details_of, what_went_wrong
from nondiff.experiments.ranges import MAX_RETURN
from nondiff.experiments.terminal.console import err
from nondiff.gym.returns import parts

# Steps without an end after which an episode is spoken of, and given up, where nothing limits it.
LONG, ENDLESS = 10_000, 1_000_000


@dataclass(frozen=True)
class Episode:
    """The result of one episode."""

    seed: int
    episode_return: float
    length: int
    success: bool | None  # None where the environment reports no `is_success`
    failed: bool = False  # whether the environment reported that its program had `failed`


class RandomPolicy:
    """Draws actions uniformly from a space: the reference every policy should beat."""

    def __init__(self, space: gymnasium.Space[Any], seed: int = 0) -> None:
        self._space = space
        self._space.seed(seed)

    def predict(self, observation: Any, deterministic: bool = True) -> NDArray[Any]:
        """A random action, whatever is observed."""
        return np.asarray(self._space.sample())[()]


def play(
    env: gymnasium.Env[Any, Any],
    policy: Policy,
    seeds: Iterable[int],
    deterministic: bool = True,
    on_step: Callable[[int], None] | None = None,
    options: dict[str, Any] | None = None,
    note: Callable[[str], None] = err,
) -> list[Episode]:
    """Play one episode a seed.

    Args:
        env: the environment; each episode begins with `reset(seed=...)`.
        policy: what acts.
        seeds: of the episodes.
        deterministic: take the most likely action rather than a drawn one.
        on_step: called with the present seed after each reset and each step.
        options: given to each reset.
        note: told of an episode that does not end.

    Raises:
        NonFiniteError: a reward or an observation is NaN or infinite.
        EnvironmentFailedError: the environment raised, or an episode does not end.
    """
    watch = _Watch(env, note)
    return [_episode(env, policy, seed, deterministic, on_step, options, watch) for seed in seeds]


class _Watch:
    """Looks out for an episode without an end, where no limit of steps is registered."""

    def __init__(self, env: gymnasium.Env[Any, Any], note: Callable[[str], None]) -> None:
        spec = env.spec
        self._is_limited = spec is not None and spec.max_episode_steps is not None
        self._name = type(env.unwrapped).__name__ if spec is None else spec.id
        self._note = note
        self._is_noted = False

    def look(self, seed: int, length: int) -> None:
        """Say of an episode that it is long, once, and give it up in the end."""
        if self._is_limited or length < LONG or (self._is_noted and length < ENDLESS):
            return
        text = (
            f"{self._name}: the episode with seed {seed} has no end after {length:,} steps, and "
            "no max_episode_steps is registered; --max-episode-steps truncates episodes"
        )
        if length >= ENDLESS:
            raise EnvironmentFailedError(text)
        self._note(f"{text}; it is given up after {ENDLESS:,}")
        self._is_noted = True


def _episode(
    env: gymnasium.Env[Any, Any],
    policy: Policy,
    seed: int,
    deterministic: bool,
    on_step: Callable[[int], None] | None,
    options: dict[str, Any] | None,
    watch: _Watch,
) -> Episode:
    with _named(f"a reset with seed {seed}"):
        observation, info = env.reset(seed=seed, options=options)
    episode_return, length, done = 0.0, 0, False
    while not done:
        if on_step:
            on_step(seed)
        action = policy.predict(observation, deterministic=deterministic)
        length += 1
        watch.look(seed, length)
        place = f"the episode with seed {seed}, at its step {length}"
        with _named(place):
            observation, reward, terminated, truncated, info = env.step(action)
        check_finite(observation, reward, place)
        episode_return += float(reward)
        if abs(episode_return) > MAX_RETURN:
            raise NonFiniteError(_too_large(f"the return of {place}", episode_return))
        done = terminated or truncated
    if on_step:
        on_step(seed)
    success = bool(info["is_success"]) if "is_success" in info else None
    return Episode(seed, episode_return, length, success, bool(info.get("failed", False)))


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Say in which episode of an evaluation an environment raised."""
    try:
        yield
    except Exception as error:
        raise EnvironmentFailedError(
            f"the environment {what_went_wrong(error)}, in {place}",
            details_of(error),
        ) from error


def check_finite(observation: Any, reward: Any, place: str) -> None:
    """Refuse a reward or an observation that is not finite.

    Raises:
        NonFiniteError: names it and the place.
    """
    if not np.isfinite(reward):
        raise NonFiniteError(f"the reward of {place} is {reward}")
    if abs(reward) > MAX_RETURN:
        raise NonFiniteError(_too_large(f"the reward of {place}", reward))
    for key, values in parts(observation):
        if not np.isfinite(values).all():
            what = f"observation {key!r}" if key else "the observation"
            raise NonFiniteError(f"{what} of {place} holds a NaN or an infinity")


def _too_large(what: str, value: float) -> str:
    return f"{what} is {value:g}, beyond {MAX_RETURN:g}, where means and intervals have no end"
