"""A Gymnasium vector environment as one of Stable-Baselines3."""

from __future__ import annotations

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

from nondiff.errors import (
    EnvironmentFailedError,
    InvalidOptionError,
    details_of,
    what_went_wrong,
)
from nondiff.gym.returns import RESERVED
from nondiff.processes.vector_env.resets import FINAL

LEFT_OUT = RESERVED - FINAL  # of infos: Stable-Baselines3 gives these keys a meaning


class BatchedVecEnv(VecEnv):
    """Gives what `DummyVecEnv` gives, of environments that are stepped by one call.

    Args:
        env: a vector environment that begins again in the same step, as `BlackBoxVectorEnv` and
            `ParallelVectorEnv` do.

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
            observation, info = self.env.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = _rows(info, self.num_envs)
        self._rewards = [[] for _ in range(self.num_envs)]
        return observation  # type: ignore[no-any-return]

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        self.steps += 1
        with self._named("at"):
            observation, reward, terminated, truncated, info = self.env.step(self._actions)
        dones = terminated | truncated
        final = info.pop("final_obs", None)
        infos = _rows(info, self.num_envs)
        cut_off = (truncated & ~terminated).tolist()
        rows = zip(infos, reward.tolist(), dones.tolist(), cut_off, strict=True)
        for number, (own, gain, done, cut) in enumerate(rows):
            if done:
                own = self._final_info(number, own, _observation(final, number))
                infos[number] = own
            own["TimeLimit.truncated"] = cut
            self._add_up(number, own, gain, done)
        return observation, np.asarray(reward, np.float32), dones, infos

    def _final_info(self, number: int, info: dict[str, Any], observation: Any) -> dict[str, Any]:
        """The info of an episode's last step; what is beside it there is the next one's first."""
        last: dict[str, Any] = info.pop("final_info", None) or {}
        if last:
            self.reset_infos[number] = info
        return {**(last or info), "terminal_observation": observation}

    def _add_up(self, number: int, info: dict[str, Any], reward: float, done: bool) -> None:
        """Say of an episode that has ended what `EpisodeRecord` says."""
        rewards = self._rewards[number]
        rewards.append(reward)
        if done:
            info["episode"] = {"r": round(sum(rewards), 6), "l": len(rewards), "t": 0.0}
            self._rewards[number] = []

    @contextmanager
    def _named(self, when: str) -> Iterator[None]:
        try:
            yield
        except EnvironmentFailedError as error:  # it says what failed
            message = f"{error}, {when} their step {self.steps}"
            raise EnvironmentFailedError(message, error.details) from error
        except Exception as error:
            raise EnvironmentFailedError(
                f"the environments {what_went_wrong(error)}, {when} their step {self.steps}",
                details_of(error),
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


def _rows(infos: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """Each environment's infos; Gymnasium says under "_" + key which environments have a key.

    Keys that Stable-Baselines3 gives a meaning are left out.
    """
    rows: list[dict[str, Any]] = [{} for _ in range(size)]
    for key, column in infos.items():
        if key.startswith("_") or key in LEFT_OUT:
            continue
        has = infos.get(f"_{key}", [True] * size)
        for row, value, its_own in zip(rows, _values(column, size), has, strict=True):
            if its_own:
                row[key] = value
    return rows


def _values(column: Any, size: int) -> list[Any]:
    """A column's values, numbers as Python's own."""
    if isinstance(column, dict):
        return _rows(column, size)
    if isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype != object:
        return column.tolist()  # type: ignore[no-any-return]
    return [value.item() if isinstance(value, np.generic) else value for value in column]


def _observation(batch: Any, number: int) -> Any:
    if isinstance(batch, dict):
        return {key: part[number] for key, part in batch.items()}
    return batch[number]
