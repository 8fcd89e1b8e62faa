"""Environments that truncate their own episodes, and state the limit in their `spec`."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeLimit

from nondiff.errors import InvalidOptionError

NO_LIMIT = -1  # as `gymnasium.make` has it


class CountsItsSteps:
    """A base class of environments that count their own steps.

    Their ids are registered without `max_episode_steps`, since `gymnasium.make` would add a
    `TimeLimit`. That would be a second counter: `set_state` does not restore it, it ignores
    arguments that make episodes longer, and it calls a one-step episode truncated. The `spec` of an
    instance states its limit instead. If the user adds a `TimeLimit`, the shorter limit applies.
    """

    _spec: EnvSpec | None = None

    @property
    def max_episode_steps(self) -> int | None:
        """The maximum number of steps of an episode; None: unknown."""
        raise NotImplementedError

    @property
    def spec(self) -> EnvSpec | None:
        """The spec that `gymnasium.make` set, with `max_episode_steps`; None without `make`."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec = copy.copy(spec)
            spec.max_episode_steps = self.max_episode_steps
        self._spec = spec


def limit_of(env: gymnasium.Env[Any, Any]) -> int | None:
    """The maximum number of steps of an episode; None: the environment does not say."""
    limits = [getattr(env.unwrapped, "max_episode_steps", None)]
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            limits.append(env._max_episode_steps)
        env = env.env
    return min((limit for limit in limits if isinstance(limit, int)), default=None)


def asked_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """The `max_episode_steps` that makes such an environment again; None: its own limit."""
    inner = env.unwrapped
    if not isinstance(inner, CountsItsSteps):
        return None if env.spec is None else env.spec.max_episode_steps
    limit = limit_of(env)
    return None if limit == inner.max_episode_steps else limit


def check_limit(max_episode_steps: int | None) -> int | None:
    """Validate the limit of a vector environment; None: no limit beside its own.

    Raises:
        InvalidOptionError: neither a positive whole number nor None or -1.
    """
    if max_episode_steps is None or max_episode_steps == NO_LIMIT:
        return None
    whole = isinstance(max_episode_steps, int) and not isinstance(max_episode_steps, bool)
    if not (whole and max_episode_steps > 0):
        raise InvalidOptionError(
            "max_episode_steps must be a positive whole number, or None or -1 for no limit beside "
            f"the environment's own, not {max_episode_steps!r}"
        )
    return max_episode_steps
