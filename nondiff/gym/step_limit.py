"""Environments that count their own steps, and say in their `spec` how many an episode has."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeLimit

from nondiff.errors import InvalidOptionError

NO_LIMIT = -1  # as `gymnasium.make` has it


class CountsItsSteps:
    """A base of environments that end their episodes themselves.

    None of their ids is registered with `max_episode_steps`, for `gymnasium.make` would add a
    `TimeLimit`: a second count, which `set_state` does not restore, which knows nothing of
    arguments that make episodes longer, and which calls an episode of one step cut off. So the
    `spec` of an environment states its limit instead. Beside a `TimeLimit` that a user asks for,
    the shorter of both holds.
    """

    _spec: EnvSpec | None = None

    @property
    def max_episode_steps(self) -> int | None:
        """The steps that an episode has at most; None: nobody knows."""
        raise NotImplementedError

    @property
    def spec(self) -> EnvSpec | None:
        """How `gymnasium.make` made this, with `max_episode_steps`; None if it did not."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec = copy.copy(spec)
            spec.max_episode_steps = self.max_episode_steps
        self._spec = spec


def limit_of(env: gymnasium.Env[Any, Any]) -> int | None:
    """The steps that an episode of an environment has at most, as far as it says so."""
    limits = [getattr(env.unwrapped, "max_episode_steps", None)]
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            limits.append(env._max_episode_steps)
        env = env.env
    return min((limit for limit in limits if isinstance(limit, int)), default=None)


def asked_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """The `max_episode_steps` to make an environment with again; None: as it is by itself."""
    inner = env.unwrapped
    if not isinstance(inner, CountsItsSteps):
        return None if env.spec is None else env.spec.max_episode_steps
    limit = limit_of(env)
    return None if limit == inner.max_episode_steps else limit


def check_limit(max_episode_steps: int | None) -> int | None:
    """The steps after which a vector environment cuts an episode off; None: it does not.

    Raises:
        InvalidOptionError: no positive whole number, nor None or -1.
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
