"""A Gymnasium vector environment as one of Stable-Baselines3."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

from nondiff.envs.errors import EnvironmentFailedError, InvalidOptionError


class BatchedVecEnv(VecEnv):
    """Gives what `DummyVecEnv` gives, of environments that are stepped by one call.

    Args:
        env: a vector environment that begins again in the same step, as `BlackBoxVectorEnv` does.

    Attributes:
        steps: of each environment, which messages name.

    Raises:
        InvalidOptionError: it begins again in another way.
        EnvironmentFailedError: from `reset` and `step`, the environment raised.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise InvalidOptionError(
                f"{type(env).__name__} has autoreset mode {mode}; "
                f"Stable-Baselines3 needs {AutoresetMode.SAME_STEP}"
            )
        self.env = env
        self.steps = 0
        self._actions = np.zeros(0)
        self._rewards: list[list[float]] = [[] for _ in range(env.num_envs)]
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> VecEnvObs:
        seeds: Any = self._seeds if any(seed is not None for seed in self._seeds) else None
        with self._named("in a reset after"):
            observation, _ = self.env.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        self._rewards = [[] for _ in range(self.num_envs)]
        return observation  # type: ignore[no-any-return]

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        self.steps += 1
        with self._named("at"):
            observation, reward, terminated, truncated, info = self.env.step(self._actions)
        reward = np.asarray(reward, np.float32)
        infos = [
            self._info(index, info, bool(terminated[index]), bool(truncated[index]), reward[index])
            for index in range(self.num_envs)
        ]
        return observation, reward, terminated | truncated, infos

    def _info(
        self, index: int, info: dict[str, Any], terminated: bool, truncated: bool, reward: float
    ) -> dict[str, Any]:
        """What `DummyVecEnv` and `EpisodeRecord` say of one environment's step."""
        names = ("is_success", "failed")
        own: dict[str, Any] = {name: bool(info[name][index]) for name in names if name in info}
        own["TimeLimit.truncated"] = truncated and not terminated
        rewards = self._rewards[index]
        rewards.append(float(reward))
        if terminated or truncated:
            own["episode"] = {"r": round(sum(rewards), 6), "l": len(rewards), "t": 0.0}
            final = info["final_obs"]
            if isinstance(final, dict):
                own["terminal_observation"] = {key: part[index] for key, part in final.items()}
            else:
                own["terminal_observation"] = final[index]
            self._rewards[index] = []
        return own

    @contextmanager
    def _named(self, when: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise EnvironmentFailedError(
                f"the environments raised {type(error).__name__}: {error}, {when} their step "
                f"{self.steps}",
                traceback.format_exc(),
            ) from error

    def close(self) -> None:
        self.env.close()

    def has_attr(self, attr_name: str) -> bool:
        return hasattr(self.env, attr_name)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        return [getattr(self.env, method_name)(*method_args, **method_kwargs)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        return [False] * len(self._chosen(indices))

    def _chosen(self, indices: VecEnvIndices) -> list[int]:
        return list(self._get_indices(indices))
