"""A Gymnasium vector environment whose environments run in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

from nondiff.errors import InvalidActionError, InvalidOptionError
from nondiff.gym.copying import NeverCopied
from nondiff.gym.step_limit import CountsItsSteps, check_limit, limit_of
from nondiff.processes.vector_env.env_group import Env, Info
from nondiff.processes.vector_env.resets import (
    check_nothing_is_over,
    checked_mode,
    seeds_of,
    split_mask,
)
from nondiff.processes.vector_env.shared_arrays import Layout, Parts
from nondiff.processes.vector_env.worker_pool import WorkerPool, shares_of
from nondiff.validation import check_bool

TIMEOUT = 300.0  # [s]


class ParallelVectorEnv(NeverCopied, CountsItsSteps, VectorEnv[Any, Any, Any]):
    """A vectorized environment with results bit-identical to Gymnasium's `SyncVectorEnv`.

    Each process receives one short message per step; actions, observations, rewards and flags lie
    in shared memory.

    The processes are spawned. They run the main script again only if `make` is defined outside
    nondiff; such a script must make the environment below `if __name__ == "__main__":`.

    Args:
        make: makes one environment; pickled by reference.
        num_envs: number of environments.
        processes: number of worker processes, at most `num_envs`; None: one per core.
        autoreset_mode: what follows the end of an episode, an `AutoresetMode` or its value.
            "SameStep": the step returns the first observation of the next episode, and `info` holds
            `final_obs` and `final_info`. "NextStep": the next step resets, whatever its action.
            "Disabled": call `reset(options={"reset_mask": ended})` before the next step.
        timeout: maximum time of a step of one process [s].
        apart: pin the processes to separate cores, on Linux and if there are enough cores, since
            each step waits for the slowest process. Turn it off if other work is pinned to some of
            the cores.
        max_episode_steps: truncate episodes after this many steps, by Gymnasium's `TimeLimit`;
            None or -1: the environment's own limit.
        arguments: keyword arguments of `make`.

    Raises:
        InvalidOptionError: an argument out of its range; spaces that are not arrays; a `make` that
            can't be pickled; also whatever `make` raises.
        InvalidActionError: from `step`, actions of the wrong shape or not finite; nothing steps.
        ResetNeeded: from `step`, in mode "Disabled", an episode is over; nothing steps.
        EnvironmentFailedError: from any method, an environment raised, or a process died or hung.
    """

    instead = "make another one with the same arguments"

    def __init__(
        self,
        make: Callable[..., Env],
        num_envs: int = 1,
        *,
        processes: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        timeout: float = TIMEOUT,
        apart: bool = True,
        max_episode_steps: int | None = None,
        **arguments: Any,
    ) -> None:
        self.closed = True  # until there is something to close
        shares = shares_of(num_envs, processes)
        if not timeout > 0:
            raise InvalidOptionError(f"timeout must be a positive number [s], not {timeout!r}")
        check_bool("apart", apart)
        self._mode = checked_mode(autoreset_mode)
        self.num_envs = num_envs
        make_one = partial(make, **arguments)
        if (limit := check_limit(max_episode_steps)) is not None:
            make_one = partial(_limited, make_one, limit)
        self._learn_from(make_one())
        layout = Layout(num_envs, self.single_observation_space, self.single_action_space)
        memory = layout.allocate()
        self._arrays = layout.views(memory)
        self._workers = WorkerPool(make_one, layout, memory, shares, self._mode, timeout, apart)
        self.closed = False

    def _learn_from(self, env: Env) -> None:
        try:
            self.single_observation_space = env.observation_space
            self.single_action_space = env.action_space
            self.metadata = {**env.metadata, "autoreset_mode": self._mode}
            self.render_mode = env.render_mode
            self._limit = limit_of(env)
        finally:
            env.close()
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property
    def max_episode_steps(self) -> int | None:
        return self._limit

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, Info]:
        """Reset all environments; environment i gets seed + i, or the i-th seed of a list.

        The option `reset_mask`, a bool array (num_envs,), selects some of them.
        """
        chosen, others = split_mask(options, self.num_envs)
        info: Info = {}
        infos = self._workers.ask(
            "reset_some", seeds_of(seed, self.num_envs), others, chosen.tolist()
        )
        for number, one in enumerate(infos):
            if one is not None:
                info = self._add_info(info, one, number)
        return _batch(self._arrays.observation), info

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Step all environments; actions are cast to the dtype of the action space."""
        actions = self._checked(actions)
        self._workers.settle()
        arrays = self._arrays
        if self._mode is AutoresetMode.DISABLED:
            check_nothing_is_over(arrays.terminated | arrays.truncated)
        arrays.action[...] = actions
        infos = self._workers.ask("step_all")
        terminated, truncated = arrays.terminated.copy(), arrays.truncated.copy()
        info = self._step_info(infos)
        return _batch(arrays.observation), arrays.reward.copy(), terminated, truncated, info

    def _step_info(self, infos: list[Any]) -> Info:
        info: Info = {}
        for number, (final, last) in enumerate(infos):
            if final is not None:
                seen = _batch({key: part[number] for key, part in self._arrays.final.items()})
                info = self._add_info(info, {"final_obs": seen, "final_info": final}, number)
            info = self._add_info(info, last, number)
        return info

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """The rewards (batch,) of goals (batch, goal), for goal-conditioned environments."""
        goals = (achieved_goal, desired_goal, info)
        return self._workers.ask_first("call_first", "compute_reward", goals)

    def call(self, name: str, *some: Any, **named: Any) -> tuple[Any, ...]:
        """Get an attribute of each environment, or call it if it is callable."""
        return tuple(self._workers.ask("call", name, some, named))

    def render(self) -> tuple[Any, ...]:
        """Render each environment."""
        return self.call("render")

    def close_extras(self, **kwargs: Any) -> None:
        """End the processes."""
        self._workers.close()

    def _checked(self, actions: Any) -> NDArray[Any]:
        space = self.action_space
        assert space.dtype is not None
        try:
            values = np.asarray(actions)
        except ValueError:
            raise InvalidActionError(f"actions {actions!r} are not an array") from None
        if values.shape != space.shape or not np.can_cast(values.dtype, space.dtype, "same_kind"):
            raise InvalidActionError(
                f"actions have shape {values.shape} and type {values.dtype}; "
                f"{self.num_envs} environments take {space.shape} and {space.dtype}"
            )
        if not np.isfinite(values).all():
            raise InvalidActionError(f"actions {values.tolist()} are not all finite")
        return values


def _limited(make_one: Callable[[], Env], limit: int) -> Env:
    return TimeLimit(make_one(), limit)


def _batch(parts: Parts) -> Any:
    """Copy observations, so that returned ones are never overwritten."""
    copies = {key: part.copy() for key, part in parts.items()}
    return copies.get("", copies)
