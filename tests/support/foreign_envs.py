"""Environments as strangers write them: other spaces, odd returns, no end."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class Short(gymnasium.Env[Any, Any]):
    """Episodes of three steps; observations are samples."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    observation_space: Any = spaces.Box(-1, 1, (3,))
    action_space: Any = spaces.Box(-1, 1, (1,))

    def __init__(self, **given: Any) -> None:
        vars(self).update(given)
        self.now = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.now = 0
        return self.seen(), {}

    def seen(self) -> Any:
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self.observation_space.sample()

    def step(self, action: Any) -> Any:
        self.now += 1
        return self.seen(), 1.0, False, self.now >= 3, {}


class Acting(Short):
    """Raises where it is given an action that is not one of its space."""

    def step(self, action: Any) -> Any:
        space = self.action_space
        if isinstance(space, spaces.Box):
            values = np.asarray(action)
            fits = values.shape == space.shape and bool(
                ((values >= space.low) & (values <= space.high)).all()
            )
            if not np.issubdtype(space.dtype, np.floating):
                fits = fits and bool((values == np.rint(values)).all())
        else:
            fits = space.contains(action)
        if not fits:
            raise ValueError(f"{action!r} is not in {space}")
        return super().step(action)


class Giving(Short):
    """Returns what it is told to from one of its steps on."""

    def __init__(self, given: dict[str, Any], since: int = 1) -> None:
        super().__init__()
        self.given, self.since, self.steps = given, since, 0

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        full = {
            "observation": observation,
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
            "info": info,
        }
        self.steps += 1
        if self.steps < self.since:
            return tuple(full.values())
        if "all" in self.given:
            return self.given["all"]
        return tuple((full | self.given).values())


class Endless(Short):
    """Never ends an episode."""

    def step(self, action: Any) -> Any:
        return self.seen(), 1.0, False, False, {}


class Halved(gymnasium.ActionWrapper[Any, Any, Any]):
    """Halves actions, with a factor that can be told."""

    def __init__(self, env: Any, factor: float = 0.5) -> None:
        super().__init__(env)
        self.factor = factor

    def action(self, action: Any) -> Any:
        return action * self.factor


# Processes of its own find it by importing this module.
gymnasium.register("GivingInWorkers-v0", "foreign_envs:Giving", disable_env_checker=True)
