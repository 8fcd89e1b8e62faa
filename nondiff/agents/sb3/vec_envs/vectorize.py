"""The environments of a training, stepped in this process or in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from nondiff.agents.sb3.algorithms.reinforcement import Reinforcement
from nondiff.agents.sb3.vec_envs.batched import BatchedVecEnv
from nondiff.agents.sb3.vec_envs.workers import WorkerVecEnv
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import EnvironmentFailedError, details_of, what_went_wrong
from nondiff.gym.episode_record import EpisodeRecord


def make_environments(
    config: Reinforcement, recipe: EnvRecipe, report: Callable[[str], None]
) -> VecEnv:
    """Make `config.num_envs` environments that report their episodes' returns.

    Args:
        config: how many, and where they are stepped.
        recipe: what they are.
        report: told of processes that were restarted.

    Raises:
        EnvironmentFailedError: from any call, an environment that raised, died or hung too often.
    """
    if config.vec_env == "processes":
        return WorkerVecEnv(
            recipe, config.num_envs, config.worker_timeout, config.worker_restarts, report
        )
    if config.vec_env == "batched":
        return BatchedVecEnv(recipe.make_vector(config.num_envs))
    return DummyVecEnv([partial(_named, recipe, index) for index in range(config.num_envs)])


def count_from(environments: VecEnv, steps: int) -> None:
    """Count the steps of each environment, which messages name, from so many on."""
    if isinstance(environments, WorkerVecEnv):
        environments.steps_before = steps
    elif isinstance(environments, BatchedVecEnv):
        environments.steps = steps
    elif isinstance(environments, DummyVecEnv):
        for env in environments.envs:
            assert isinstance(env, Named)
            env.steps = steps


def simulator_seconds(environments: VecEnv) -> float | None:
    """CPU seconds that black boxes took; None where there are none, or in other processes."""
    if isinstance(environments, BatchedVecEnv):
        made: list[Any] = [environments.env]
    else:
        made = list(getattr(environments, "envs", []))
    meters = [getattr(env.unwrapped, "meter", None) for env in made]
    spent = [sum(meter.cpu_seconds.values()) for meter in meters if meter is not None]
    return sum(spent) if spent else None


def _named(recipe: EnvRecipe, index: int) -> gymnasium.Env[Any, Any]:
    return Named(EpisodeRecord(recipe.make()), index)


class Named(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Says which environment raised, and at which of its steps."""

    def __init__(self, env: gymnasium.Env[Any, Any], index: int) -> None:
        super().__init__(env)
        self._index = index
        self.steps = 0

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        try:
            return self.env.reset(**options)
        except Exception as error:
            raise self._failed(error, "in a reset after") from error

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.steps += 1
        try:
            return self.env.step(action)
        except Exception as error:
            raise self._failed(error, "at") from error

    def close(self) -> None:
        try:
            self.env.close()
        except Exception as error:
            raise self._failed(error, "when closed after") from error

    def _failed(self, error: Exception, when: str) -> EnvironmentFailedError:
        return EnvironmentFailedError(
            f"environment {self._index} {what_went_wrong(error)}, {when} its step {self.steps}",
            details_of(error),
        )
