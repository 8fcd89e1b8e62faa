"""The vectorised Gymnasium environment made from a black box: one batched transition a step."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from nondiff.envs.black_box.contract import BlackBox, Start
from nondiff.envs.black_box.env import Episodes, checked, checked_render_mode, metadata_of
from nondiff.envs.black_box.meter import Meter
from nondiff.envs.copying import DeepCopied
from nondiff.envs.limit import CountsItsSteps, check_limit


class BlackBoxVectorEnv(DeepCopied, CountsItsSteps, VectorEnv[Any, Any, Any]):
    """Several episodes of a black box at once; one that ends begins again in the same step.

    Each environment draws from a generator of its own, so that its starts are those of a
    `BlackBoxEnv` with the same seed. `info` is that of the transition, also where it ended an
    episode, and then holds `final_obs` and `final_info` as well.

    Args:
        box: the black box.
        num_envs: episodes at once.
        render_mode: None; or "rgb_array", a picture of each environment's last answer a call.
        max_episode_steps: steps after which an episode is cut off, as by Gymnasium's `TimeLimit`;
            None or -1: as many as the black box allows.

    Raises:
        InvalidOptionError: an argument outside these choices.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # type: ignore[misc]

    def __init__(
        self,
        box: BlackBox,
        num_envs: int = 1,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
    ) -> None:
        self.box = box
        self.render_mode = checked_render_mode(render_mode)
        self.metadata = {**type(self).metadata, **metadata_of(box)}  # type: ignore[misc]
        self._limit = check_limit(max_episode_steps)
        self.meter = Meter(box)
        self.num_envs = num_envs
        self.single_observation_space = box.observation_space
        self.single_action_space = box.action_space
        self.observation_space = batch_space(box.observation_space, num_envs)
        self.action_space = batch_space(box.action_space, num_envs)
        self._episodes = Episodes(self.meter)
        self._all = np.ones(num_envs, bool)
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]

    @property
    def max_episode_steps(self) -> int:
        return min(self.box.horizon, self._limit or self.box.horizon)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin all episodes; environment i is seeded with seed + i, or the i-th of a list."""
        if seed is not None:
            seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
            self._rngs = [seeding.np_random(one)[0] for one in seeds]
        info = self._episodes.start(self._starts(np.arange(self.num_envs)))
        return self._batched(self._episodes.observations()), _masked(info, self._all)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Run the black box once, with a row for each environment."""
        episodes = self._episodes
        reward, terminated, truncated, info = episodes.step(
            checked(self.box, actions, (self.num_envs,))
        )
        if self._limit is not None:
            truncated |= episodes.steps >= self._limit
        ends = terminated | truncated
        ended = np.flatnonzero(ends)
        last, info = info, _masked(info, self._all)
        if len(ended):
            own = {key: values.copy() for key, values in last.items()}
            final = {"final_obs": self._batched(episodes.observations())}
            info |= _masked({**final, "final_info": _masked(own, ends)}, ends)
            episodes.restart(ended, self._starts(ended))
        return self._batched(episodes.observations()), reward, terminated, truncated, info

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


def _masked(values: dict[str, Any], whose: NDArray[np.bool_]) -> dict[str, Any]:
    """Values, and under "_" + key which environments have them, as Gymnasium has it."""
    return values | {f"_{key}": whose.copy() for key in values}
