"""A Gymnasium vector environment whose environments are stepped by worker processes."""

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
from nondiff.processes.vector_env.worker_pool import Crew, shares_of
from nondiff.validation import check_bool

TIMEOUT = 300.0  # [s]


class ParallelVectorEnv(NeverCopied, CountsItsSteps, VectorEnv[Any, Any, Any]):
    """Gives what each environment gives alone, bit for bit, as Gymnasium's `SyncVectorEnv` does.

    Each process is sent one short message a step; actions, observations, rewards and flags are in
    memory that all share.

    The processes are spawned, and do not run the script that starts them again, unless `make` is
    defined there or elsewhere outside nondiff: then it does so below `if __name__ == "__main__":`.

    Args:
        make: makes one environment; pickled by reference.
        num_envs: how many.
        processes: among how many processes they are divided; None: as many as there are cores,
            and environments for.
        autoreset_mode: where an episode ends, an `AutoresetMode` of Gymnasium's, or its value.
            "SameStep": the observation is the first of the next, and `info` holds `final_obs` and
            `final_info`. "NextStep": the next step begins another, whatever its action.
            "Disabled": `reset(options={"reset_mask": ended})` is due before the next step.
        timeout: the longest that a step of a process's share may take [s].
        apart: keep each process to its own share of the processors, on Linux and where there are
            enough of them, since all wait for the last. Turn it off where other work is bound to
            some of the processors.
        max_episode_steps: steps after which an episode is cut off, by a `TimeLimit` of Gymnasium's;
            None or -1: as many as the environment allows.
        arguments: for `make`.

    Raises:
        InvalidOptionError: an argument out of its range; spaces that are no arrays; a `make` that
            can't be pickled; and what `make` raises.
        InvalidActionError: from `step`, actions of the wrong shape or not finite; none is done.
        ResetNeeded: from `step`, in mode "Disabled", an episode is over; none is done.
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
        self._rows = layout.rows(memory)
        self._crew = Crew(make_one, layout, memory, shares, self._mode, timeout, apart)
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
        """Begin all episodes; environment i is seeded with seed + i, or the i-th of a list.

        With an option `reset_mask`, (num_envs,) flags of numpy, only those that it names.
        """
        chosen, others = split_mask(options, self.num_envs)
        info: Info = {}
        infos = self._crew.ask("reset_some", seeds_of(seed, self.num_envs), others, chosen.tolist())
        for number, one in enumerate(infos):
            if one is not None:
                info = self._add_info(info, one, number)
        return _batch(self._rows.observation), info

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Step all environments; actions are cast to the action space's type."""
        actions = self._checked(actions)
        self._crew.settle()
        rows = self._rows
        if self._mode is AutoresetMode.DISABLED:
            check_nothing_is_over(rows.terminated | rows.truncated)
        rows.action[...] = actions
        infos = self._crew.ask("step_all")
        terminated, truncated = rows.terminated.copy(), rows.truncated.copy()
        info = self._step_info(infos)
        return _batch(rows.observation), rows.reward.copy(), terminated, truncated, info

    def _step_info(self, infos: list[Any]) -> Info:
        info: Info = {}
        for number, (final, last) in enumerate(infos):
            if final is not None:
                seen = _batch({key: part[number] for key, part in self._rows.final.items()})
                info = self._add_info(info, {"final_obs": seen, "final_info": final}, number)
            info = self._add_info(info, last, number)
        return info

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """The rewards (batch,) for goals (batch, goal), where the environments have goals."""
        goals = (achieved_goal, desired_goal, info)
        return self._crew.ask_first("call_first", "compute_reward", goals)

    def call(self, name: str, *some: Any, **named: Any) -> tuple[Any, ...]:
        """The values of an attribute of each environment, called if it can be."""
        return tuple(self._crew.ask("call", name, some, named))

    def render(self) -> tuple[Any, ...]:
        """What each environment renders."""
        return self.call("render")

    def close_extras(self, **kwargs: Any) -> None:
        """End the processes."""
        self._crew.close()

    def _checked(self, actions: Any) -> NDArray[Any]:
        space = self.action_space
        assert space.dtype is not None
        try:
            values = np.asarray(actions)
        except ValueError:
            raise InvalidActionError(f"actions {actions!r} are no array") from None
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
    """A copy, so that observations that were returned are never changed."""
    copies = {key: part.copy() for key, part in parts.items()}
    return copies.get("", copies)
