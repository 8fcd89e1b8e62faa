"""Stops a NaN or an infinity where it enters, and names it."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from nondiff.errors import NonFiniteError


class FiniteGuard(VecEnvWrapper):
    """Refuses actions, observations and rewards that are not finite.

    Args:
        venv: the environments.
        steps: that each has done before.
    """

    def __init__(self, venv: Any, steps: int = 0) -> None:
        super().__init__(venv)
        self._steps = steps

    def reset(self) -> VecEnvObs:
        observation = self.venv.reset()
        self._check_observation(observation)
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        self._check("the policy's action for", actions)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        observation, rewards, dones, infos = self.venv.step_wait()
        self._steps += 1
        self._check("the reward of", rewards)
        self._check_observation(observation)
        for environment, info in enumerate(infos):
            # Where an episode ended, `observation` is already the next one's first.
            if "terminal_observation" in info:
                self._check_observation(info["terminal_observation"], environment)
        return observation, rewards, dones, infos

    def _check_observation(self, observation: Any, environment: int | None = None) -> None:
        """Check a batch of observations, or the one of an environment."""
        parts = observation if isinstance(observation, dict) else {"": np.asarray(observation)}
        for key, values in parts.items():
            what = f"observation {key!r} of" if key else "the observation of"
            self._check(what, values if environment is None else values[None], environment or 0)

    def _check(self, what: str, values: np.ndarray, first: int = 0) -> None:
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            entry = f" at entry {list(index[1:])}" if len(index) > 1 else ""
            raise NonFiniteError(
                f"{what} environment {first + index[0]} is {values[index]}{entry}, "
                f"at its step {self._steps}"
            )
