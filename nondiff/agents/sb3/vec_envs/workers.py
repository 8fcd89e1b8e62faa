"""A vector of environments, each in a process of its own, that outlives the loss of some."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NoReturn

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)
from stable_baselines3.common.vec_env.util import dict_to_obs, obs_space_info

from nondiff.env_recipe import EnvRecipe
from nondiff.errors import EnvironmentFailedError
from nondiff.gym.episode_record import EpisodeRecord
from nondiff.processes.env_worker import EnvironmentRaised, Worker, WorkerLost, Wrap


class WorkerVecEnv(VecEnv):
    """Gives what Stable-Baselines3's `DummyVecEnv` gives, unless a process dies or hangs.

    Such a one is started again, and its episode ends as truncated, as if the environment had stood
    still in the step that was lost: with the observation and the reward of the step before. The
    info of that step says why, under "worker_restarted".

    Args:
        recipe: how each environment is made.
        num_envs: how many.
        timeout: the longest an environment may take to answer [s].
        max_restarts: how often each may be started again.
        report: is given one line for each restart.
        wrap: applied to each environment in its process; pickled by reference.

    Attributes:
        steps_before: added to the number of steps of each environment in messages.

    Raises:
        EnvironmentFailedError: an environment can't be made, raised, or was lost once too often.
        InvalidOptionError: the recipe's arguments or `wrap` can't be pickled.
    """

    def __init__(
        self,
        recipe: EnvRecipe,
        num_envs: int,
        timeout: float,
        max_restarts: int,
        report: Callable[[str], None],
        wrap: Wrap | None = EpisodeRecord,
    ) -> None:
        self.steps_before = 0
        self._steps = 0
        self._start = partial(Worker, recipe, timeout, wrap)
        self._max_restarts = max_restarts
        self._report = report
        self._restarts = [0] * num_envs
        self._last_seeds: list[int | None] = [None] * num_envs
        self._last: list[tuple[Any, Any]] = [(None, 0.0)] * num_envs  # observation and reward
        self._workers: list[Worker] = []
        try:
            self._workers.extend(self._start() for _ in range(num_envs))
            ((observation_space, action_space),) = self._ask([0], "spaces")
            self._parts = obs_space_info(observation_space)
            super().__init__(num_envs, observation_space, action_space)
        except BaseException:
            self.close()
            raise

    def reset(self) -> VecEnvObs:
        orders = list(zip(self._seeds, self._options, strict=True))
        for worker, order in zip(self._workers, orders, strict=True):
            worker.send("reset", *order)
        for index, (seed, options) in enumerate(orders):
            self._last_seeds[index] = self._last_seeds[index] if seed is None else seed
            self._finish_reset(index, seed, options)
        self._reset_seeds()
        self._reset_options()
        return self._batch()

    def step_async(self, actions: np.ndarray) -> None:
        self._steps += 1
        for worker, action in zip(self._workers, actions, strict=True):
            worker.send("step", action)

    def step_wait(self) -> VecEnvStepReturn:
        rewards = np.zeros(self.num_envs, np.float32)
        dones = np.zeros(self.num_envs, bool)
        infos: list[dict[str, Any]] = []
        for index in range(self.num_envs):
            rewards[index], dones[index], info = self._finish_step(index)
            infos.append(info)
        return self._batch(), rewards, dones, infos

    def close(self) -> None:
        for worker in self._workers:
            worker.ask_to_close()
        for worker in self._workers:
            worker.close()

    def has_attr(self, attr_name: str) -> bool:
        return all(self._ask(None, "has_attribute", attr_name))

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        return self._ask(indices, "attribute", attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        self._ask(indices, "set_attribute", attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        return self._ask(indices, "method", method_name, method_args, method_kwargs)

    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        return self._ask(indices, "is_wrapped", wrapper_class)

    def get_images(self) -> Sequence[np.ndarray | None]:
        if self.render_mode != "rgb_array":
            warnings.warn(
                f"images need render_mode 'rgb_array', not {self.render_mode!r}", stacklevel=2
            )
            return [None] * self.num_envs
        return self._ask(None, "render")

    def _ask(self, indices: VecEnvIndices, name: str, *arguments: object) -> list[Any]:
        chosen = self._chosen(indices)
        for index in chosen:
            self._workers[index].send(name, *arguments)
        return [self._receive(index, name) for index in chosen]

    def _chosen(self, indices: VecEnvIndices) -> Iterable[int]:
        if indices is None:
            return range(len(self._workers))
        return [indices] if isinstance(indices, int) else list(indices)

    def _receive(self, index: int, name: str) -> Any:
        try:
            return self._workers[index].receive()
        except EnvironmentRaised as raised:
            self._fail(index, raised, f"asked for {name!r} after")
        except WorkerLost as lost:
            raise EnvironmentFailedError(
                f"environment {index} {lost.reason}, asked for {name!r} after its step {self._now}"
            ) from lost

    @property
    def _now(self) -> int:
        return self.steps_before + self._steps

    def _fail(self, index: int, raised: EnvironmentRaised, when: str) -> NoReturn:
        did, when = ("raised ", f", {when} its step {self._now}")
        if raised.making:
            did, when = ("can't be made: ", "")
        message = f"environment {index} {did}{raised.summary}{when}"
        raise EnvironmentFailedError(message, raised.traceback) from raised

    def _finish_reset(self, index: int, seed: int | None, options: dict[str, Any]) -> None:
        try:
            first = self._workers[index].receive()
        except EnvironmentRaised as raised:
            self._fail(index, raised, "in a reset after")
        except WorkerLost as lost:
            first = self._restart(index, lost.reason, "in a reset after", seed, options)
        self._begin(index, *first)

    def _finish_step(self, index: int) -> tuple[Any, bool, dict[str, Any]]:
        """The reward of an environment, whether its episode is done, and its infos."""
        try:
            observation, reward, done, info, reset_info = self._workers[index].receive()
        except EnvironmentRaised as raised:
            self._fail(index, raised, "at")
        except WorkerLost as lost:
            return self._lose_episode(index, lost.reason)
        if done:
            self._begin(index, observation, reset_info)
        else:
            self._last[index] = observation, reward
        return reward, done, info

    def _lose_episode(self, index: int, reason: str) -> tuple[Any, bool, dict[str, Any]]:
        observation, reward = self._last[index]
        self._begin(index, *self._restart(index, reason, "at"))
        info = {
            "TimeLimit.truncated": True,
            "terminal_observation": observation,
            "worker_restarted": reason,
        }
        return reward, True, info

    def _restart(
        self,
        index: int,
        reason: str,
        when: str,
        seed: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Make an environment again; what its first reset gives."""
        while True:
            lost = f"environment {index} {reason} {when} its step {self._now}"
            if self._restarts[index] == self._max_restarts:
                raise EnvironmentFailedError(
                    f"{lost}; worker_restarts = {self._max_restarts} allows no more of it"
                )
            self._restarts[index] += 1
            self._report(
                f"{lost}: restarted ({self._restarts[index]} of {self._max_restarts})"
                + (", its episode counts as truncated" if when == "at" else "")
            )
            self._workers[index] = self._start()
            try:
                chosen = self._fresh_seed(index) if seed is None else seed
                return self._workers[index].call("reset", chosen, options)  # type: ignore[no-any-return]
            except EnvironmentRaised as raised:
                self._fail(index, raised, "in a reset after")
            except WorkerLost as again:
                reason = again.reason

    def _fresh_seed(self, index: int) -> int | None:
        """One of training's range, [0, 2^30): the first would repeat the first episodes."""
        last = self._last_seeds[index]
        if last is None:
            return None
        return int(np.random.SeedSequence([last, self._restarts[index]]).generate_state(1)[0] >> 2)

    def _begin(self, index: int, observation: Any, reset_info: dict[str, Any]) -> None:
        self._last[index] = observation, 0.0
        self.reset_infos[index] = reset_info

    def _batch(self) -> VecEnvObs:
        """The last observations, copied."""
        keys, shapes, dtypes = self._parts
        batch = {key: np.zeros((self.num_envs, *shapes[key]), dtypes[key]) for key in keys}
        for index, (observation, _) in enumerate(self._last):
            for key, part in batch.items():
                part[index] = observation if key is None else observation[key]
        return dict_to_obs(self.observation_space, batch)
