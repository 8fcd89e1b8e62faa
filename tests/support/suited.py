"""Environments that a strategy can train on, for tests that every strategy passes."""

from __future__ import annotations

from contextlib import closing

import gymnasium

from nondiff.agents import find_strategy
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import IncompatibleStrategyError

QUADRANT, BIT_FLIP = "small_envs:Quadrant-v0", "small_envs:BitFlip-v0"


def suited(name: str, *env_ids: str) -> str:
    """The first of the environments, and of one with discrete actions, that a strategy suits."""
    for env_id in (*env_ids, QUADRANT):
        with closing(EnvRecipe(env_id).make()) as env:
            try:
                find_strategy(name)().check(env)
            except IncompatibleStrategyError:
                continue
            return env_id
    raise LookupError(f"no environment for {name}")


def needs_choices(name: str) -> bool:
    """Whether a strategy acts in discrete spaces alone."""
    return getattr(find_strategy(name), "acts_in", ()) == (gymnasium.spaces.Discrete,)
