"""The vectorized Gymnasium environment made from a black box: one batched transition per step."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from nondiff.black_box.contract import BlackBox, Start
from nondiff.black_box.env import Episodes, Infos, checked, checked_render_mode, metadata_of
from nondiff.black_box.meter import Meter
from nondiff.errors import InvalidOptionError
from nondiff.gym.copying import DeepCopied
from nondiff.gym.step_limit import CountsItsSteps, check_limit
from nondiff.processes.vector_env.resets import (
    check_nothing_is_over,
    checked_mode,
    seeds_of,
    split_mask,
)


class BlackBoxVectorEnv(DeepCopied, CountsItsSteps, VectorEnv[Any, Any, Any]):
    """Several parallel episodes of a black box, with the results of Gymnasium's `SyncVectorEnv`.

    Each environment has its own random generator, so that its starts are those of a `BlackBoxEnv`
    with the same seed.

    Args:
        box: the black box.
        num_envs: number of environments.
        render_mode: None; or "rgb_array", a picture of each environment's last transition.
        max_episode_steps: truncate episodes after this many steps, as Gymnasium's `TimeLimit` does;
            None or -1: only the horizon of the black box applies.
        autoreset_mode: see `ParallelVectorEnv`; a step that resets makes no transition.

    Raises:
        InvalidOptionError: an argument outside these choices.
        ResetNeeded: from `step`, in mode "Disabled", an episode is over.
    """

    def __init__(
        self,
        box: BlackBox,
        num_envs: int = 1,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        self._mode = checked_mode(autoreset_mode)
        if not (isinstance(num_envs, int) and num_envs >= 1):
            raise InvalidOptionError(f"num_envs must be 1 or more, not {num_envs!r}")
        self.box = box
        self.render_mode = checked_render_mode(render_mode)
        self.metadata = {**metadata_of(box), "autoreset_mode": self._mode}
        self._limit = check_limit(max_episode_steps)
        self.meter = Meter(box)
        self.num_envs = num_envs
        self.single_observation_space = box.observation_space
        self.single_action_space = box.action_space
        self.observation_space = batch_space(box.observation_space, num_envs)
        self.action_space = batch_space(box.action_space, num_envs)
        self._episodes = Episodes(self.meter)
        self._over = np.zeros(num_envs, bool)  # environments that must be reset next
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]

    @property
    def max_episode_steps(self) -> int:
        return min(self.box.horizon, self._limit or self.box.horizon)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset all environments; environment i gets seed + i, or the i-th seed of a list.

        The option `reset_mask`, a bool array (num_envs,), selects some of them.
        """
        chosen, _ = split_mask(options, self.num_envs)
        rows = np.flatnonzero(chosen)
        if not (chosen.all() or len(self._episodes.steps)):
            raise gymnasium.error.ResetNeeded("the first reset is of all environments")
        self._seed(seed, rows)
        if chosen.all():
            infos = self._episodes.start(self._starts(rows))
        else:
            infos = self._episodes.restart(rows, self._starts(rows))
        self._over[rows] = False
        return self._batched(self._episodes.observations()), self._spread((rows, infos))

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Run the black box once, with one row per environment that is not being reset."""
        if not len(self._episodes.steps):
            raise gymnasium.error.ResetNeeded("there is nothing to step yet: call reset")
        actions = checked(self.box, actions, (self.num_envs,))
        if self._mode is AutoresetMode.DISABLED:
            check_nothing_is_over(self._over)
        done = np.flatnonzero(self._over)
        rows = np.flatnonzero(~self._over)
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), bool)
        infos: Infos = {}
        if len(rows):
            results = self._episodes.step(actions[rows], rows)
            reward[rows], terminated[rows], truncated[rows], infos = results
        begun = self._restarted(done)
        if self._limit is not None:
            truncated[rows] |= self._episodes.steps[rows] >= self._limit
        ends = terminated | truncated
        if self._mode is AutoresetMode.SAME_STEP:
            info = self._followed(infos, np.flatnonzero(ends), np.flatnonzero(~ends))
        else:
            info = self._spread((rows, infos), (done, begun))
            self._over = ends
        seen = self._batched(self._episodes.observations())
        return seen, reward, terminated, truncated, info

    def _followed(
        self, infos: Infos, ended: NDArray[np.intp], others: NDArray[np.intp]
    ) -> dict[str, Any]:
        """Reset the ended environments within the step; returns the infos of the step."""
        if not len(ended):
            return self._spread((others, infos))
        final = np.full(self.num_envs, None, object)
        seen = self._batched(self._episodes.observations())
        for row in ended:
            final[row] = (
                {key: part[row] for key, part in seen.items()}
                if isinstance(seen, dict)
                else seen[row]
            )
        whose = np.isin(np.arange(self.num_envs), ended)
        last = self._spread((ended, {key: part[ended] for key, part in infos.items()}))
        ends: dict[str, Any] = {"final_obs": final, "_final_obs": whose}
        ends |= {"final_info": last, "_final_info": whose.copy()}
        continuing = {key: part[others] for key, part in infos.items()}
        return ends | self._spread((others, continuing), (ended, self._restarted(ended)))

    def _restarted(self, rows: NDArray[np.intp]) -> Infos:
        return self._episodes.restart(rows, self._starts(rows)) if len(rows) else {}

    def _spread(self, *parts: tuple[NDArray[np.intp], Infos]) -> dict[str, Any]:
        """Spread infos of some rows over arrays of all rows, with their mask as "_" + key."""
        info: dict[str, Any] = {}
        for rows, infos in parts:
            for key, values in infos.items() if len(rows) else ():
                if key not in info:
                    info[key] = np.zeros((self.num_envs, *values.shape[1:]), values.dtype)
                    info[f"_{key}"] = np.zeros(self.num_envs, bool)
                info[key][rows], info[f"_{key}"][rows] = values, True
        return info

    def _seed(self, seed: Any, rows: NDArray[np.intp]) -> None:
        seeds = seeds_of(seed, self.num_envs)
        for row in rows:
            if seeds[row] is not None:
                self._rngs[row] = seeding.np_random(seeds[row])[0]

    def render(self) -> tuple[Any, ...] | None:
        """Pictures (height, width, 3) of the last transitions; None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(self._episodes.picture(row) for row in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Release the resources of the black box."""
        self.box.close()

    def _starts(self, rows: NDArray[np.intp]) -> Start:
        sampled = [self.box.initial(1, self._rngs[row]) for row in rows]
        return Start(
            np.concatenate([start.state for start in sampled]),
            np.concatenate([start.context for start in sampled]),
        )

    def _batched(self, flat: NDArray[np.float32]) -> Any:
        space = self.single_observation_space
        if not isinstance(space, spaces.Dict):
            return flat
        parts: list[Any] = [spaces.unflatten(space, row) for row in flat]
        return {key: np.stack([part[key] for part in parts]) for key in space.spaces}
