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
from nondiff.envs.black_box.env import Episodes, checked
from nondiff.envs.black_box.meter import Meter
from nondiff.envs.copying import DeepCopied


class BlackBoxVectorEnv(DeepCopied, VectorEnv[Any, Any, Any]):
    """Several episodes of a black box at once; one that ends begins again in the same step.

    Each environment draws from a generator of its own, so that its starts are those of a
    `BlackBoxEnv` with the same seed. `info` holds `final_obs` of the environments that ended.

    Args:
        box: the black box.
        num_envs: episodes at once.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # type: ignore[misc]

    def __init__(self, box: BlackBox, num_envs: int = 1) -> None:
        self.box = box
        self.meter = Meter(box)
        self.num_envs = num_envs
        self.single_observation_space = box.observation_space
        self.single_action_space = box.action_space
        self.observation_space = batch_space(box.observation_space, num_envs)
        self.action_space = batch_space(box.action_space, num_envs)
        self._episodes = Episodes(self.meter)
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin all episodes; environment i is seeded with seed + i, or the i-th of a list."""
        if seed is not None:
            seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
            self._rngs = [seeding.np_random(one)[0] for one in seeds]
        self._episodes.start(self._starts(np.arange(self.num_envs)))
        return self._batched(self._episodes.observations()), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Run the black box once, with a row for each environment."""
        episodes = self._episodes
        reward, terminated, truncated, info = episodes.step(
            checked(self.box, actions, (self.num_envs,))
        )
        ended = np.flatnonzero(terminated | truncated)
        if len(ended):
            final = self._batched(episodes.observations())
            info |= {"final_obs": final, "_final_obs": terminated | truncated}
            episodes.restart(ended, self._starts(ended))
        return self._batched(episodes.observations()), reward, terminated, truncated, info

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
