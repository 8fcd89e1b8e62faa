"""Rehearses a training on the spaces of an environment alone, before anything is written.

What a library or a network can't handle is met there, whatever it is, and costs no simulator call.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from nondiff.agents.policies import spaces as space_files
from nondiff.agents.policies.network import MLP, Activation, NetworkPolicy, rebuild
from nondiff.agents.strategy import Policy
from nondiff.errors import IncompatibleStrategyError, NondiffError
from nondiff.gym.returns import is_as_whole, is_ours
from nondiff.gym.wrapping import changing_wrapper
from nondiff.text import cut

LARGEST = 10_000_000  # numbers of an observation or an action that a network is made for
EPISODE = 2  # steps
SHOWN = 200  # characters of what a library said

Env = gymnasium.Env[Any, Any]


class SpacesEnv(gymnasium.Env[Any, Any]):
    """Observes samples of an environment's space, and refuses actions outside of its other one."""

    def __init__(self, env: Env) -> None:
        self.observation_space = copy.deepcopy(env.observation_space)
        self.action_space = copy.deepcopy(env.action_space)
        self.observation_space.seed(0)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not is_in(self.action_space, action):
            raise ValueError(f"it would act {action!r}, which is not in {self.action_space}")
        self._steps += 1
        return self.observation_space.sample(), 0.0, False, self._steps >= EPISODE, {}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        """Zero for each goal, for hindsight."""
        return np.zeros(np.shape(achieved)[:-1], np.float32)


def is_in(space: spaces.Space[Any], action: Any) -> bool:
    """Whether an action is in a space, in whatever type of number it comes."""
    if not isinstance(space, spaces.Box):
        return bool(space.contains(action))
    values = np.asarray(action)
    if values.shape != space.shape or not (np.isfinite(values)).all():
        return False
    is_within = bool(((values >= space.low) & (values <= space.high)).all())
    return is_within and is_as_whole(space, values)


def is_tested(env: Env) -> bool:
    """Whether an environment is one of nondiff's own, whose spaces its tests train in."""
    return is_ours(env) and changing_wrapper(env, 0) in (None, "TimeLimit")


@contextmanager
def rehearsing(name: str, env: Env) -> Iterator[None]:
    """Turn whatever goes wrong within into one line.

    Raises:
        IncompatibleStrategyError: names the strategy, the spaces, and what was met.
    """
    try:
        with torch.random.fork_rng(), _numpys_generator_kept():
            yield
    except NondiffError:
        raise
    except Exception as error:
        said = cut(" ".join(str(error).split()), SHOWN)
        raise IncompatibleStrategyError(
            f"{name} can't train with observations {env.observation_space} and actions "
            f"{env.action_space} ({type(error).__name__}: {said}); {advice(env)}"
        ) from error


@contextmanager
def _numpys_generator_kept() -> Iterator[None]:
    before = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(before)


def lacks_of_action(space: spaces.Space[Any]) -> str:
    """What a plain action space has and this one has not, if anything."""
    if isinstance(space, spaces.Box):
        if not space.is_bounded():
            return "bounded actions"
        return "" if np.issubdtype(space.dtype, np.floating) else "actions of real numbers"
    if np.any(getattr(space, "start", 0)):
        return "discrete actions counted from 0"
    return "choices in one row" if len(space.shape or ()) > 1 else ""


def advice(env: Env) -> str:
    """Which wrappers may help where a space is not simple."""
    wrappers = ["--wrapper gymnasium.wrappers:FlattenObservation"]
    if lacks_of_action(env.action_space):
        wrappers.append("--wrapper nondiff:PlainAction")
    return f"try {' and '.join(wrappers)}"


def rehearse_network(
    name: str, env: Env, net_arch: tuple[int, ...], activation: Activation
) -> None:
    """Make a network for an environment's spaces, write and read it, and act with it.

    Raises:
        IncompatibleStrategyError: that is not possible.
    """
    if is_tested(env):
        return
    check_sizes(name, env)
    with rehearsing(name, env):
        module = MLP.for_env(SpacesEnv(env), net_arch, activation)
        policy = NetworkPolicy(module, env.observation_space, env.action_space)
        act(env, policy, rebuild(policy.description(), policy.tensors()))


def act(env: Env, policy: Policy, again: Policy) -> None:
    """Let a policy, and what was written and read of it, act in the spaces.

    Raises:
        ValueError: an action is not in its space, or the two differ.
    """
    alone = SpacesEnv(env)
    observation, _ = alone.reset()
    action = policy.predict(observation)
    alone.step(action)
    if not np.array_equal(action, again.predict(observation)):
        raise ValueError("it acts in another way once it was written and read")
    space_files.from_json(space_files.to_json(env.observation_space))


def check_sizes(name: str, env: Env) -> None:
    """Refuse spaces without entries, and those that no memory holds.

    Raises:
        IncompatibleStrategyError: names the space.
    """
    for what, space in (("observations", env.observation_space), ("actions", env.action_space)):
        if not space.is_np_flattenable:
            raise IncompatibleStrategyError(
                f"{name} can't train with {what} {space}, which have no fixed size; wrap the "
                "environment in one of your own that gives them a fixed size, by --wrapper"
            )
        size = spaces.flatdim(space)
        if size == 0:
            raise IncompatibleStrategyError(
                f"{name} can't train with {what} {space}, which hold nothing"
            )
        if size > LARGEST:
            raise IncompatibleStrategyError(
                f"{name} can't train with {what} {space}: a network would have {size:,} inputs or "
                f"outputs, and at most {LARGEST:,} are possible"
            )
