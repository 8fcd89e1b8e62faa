"""The vectorised Gymnasium environment made from a black box: one batched transition a step."""

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
    """Several episodes of a black box at once, which give what Gymnasium's `SyncVectorEnv` does.

    Each environment draws from a generator of its own, so that its starts are those of a
    `BlackBoxEnv` with the same seed.

    Args:
        box: the black box.
        num_envs: episodes at once.
        render_mode: None; or "rgb_array", a picture of each environment's last answer a call.
        max_episode_steps: steps after which an episode is cut off, as by Gymnasium's `TimeLimit`;
            None or -1: as many as the black box allows.
        autoreset_mode: see `ParallelVectorEnv`; a step that begins an episode calls nothing.

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
        self._over = np.zeros(num_envs, bool)  # episodes that a step or a reset has to follow
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]

    @property
    def max_episode_steps(self) -> int:
        return min(self.box.horizon, self._limit or self.box.horizon)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin all episodes; environment i is seeded with seed + i, or the i-th of a list.

        With an option `reset_mask`, (num_envs,) flags of numpy, only those that it names.
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
        """Run the black box once, with a row for each environment whose episode goes on."""
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
        """Begin episodes again in the step that ended them; the infos of it."""
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
        going_on = {key: part[others] for key, part in infos.items()}
        return ends | self._spread((others, going_on), (ended, self._restarted(ended)))

    def _restarted(self, rows: NDArray[np.intp]) -> Infos:
        return self._episodes.restart(rows, self._starts(rows)) if len(rows) else {}

    def _spread(self, *parts: tuple[NDArray[np.intp], Infos]) -> dict[str, Any]:
        """Infos of some rows, in arrays of all, with who has them under "_" + key."""
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
        """A picture (height, width, 3) of each environment's last answer, by `render_mode`."""
        if self.render_mode is None:
            return None
        return tuple(self._episodes.picture(row) for row in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """End what runs for the black box."""
        self.box.close()

    def _starts(self, rows: NDArray[np.intp]) -> Start:
        drawn = [self.box.initial(1, self._rngs[row]) for row in rows]
        return Start(
            np.concatenate([start.state for start in drawn]),
            np.concatenate([start.context for start in drawn]),
        )

    def _batched(self, flat: NDArray[np.float32]) -> Any:
        space = self.single_observation_space
        if not isinstance(space, spaces.Dict):
            return flat
        parts: list[Any] = [spaces.unflatten(space, row) for row in flat]
        return {key: np.stack([part[key] for part in parts]) for key in space.spaces}
