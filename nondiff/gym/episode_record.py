"""A wrapper that records the return and the length of each episode."""

from __future__ import annotations

import time
from typing import Any, SupportsFloat

import gymnasium


class EpisodeRecord(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Adds {"episode": {"r": return, "l": steps, "t": seconds}} to the final info of an episode."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._start = time.time()
        self._rewards: list[float] = []

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        self._rewards = []
        return super().reset(**arguments)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        self._rewards.append(float(reward))
        if terminated or truncated:
            # Rounded and summed at once, as in Stable-Baselines3's `Monitor`.
            total, seconds = sum(self._rewards), time.time() - self._start
            info["episode"] = {
                "r": round(total, 6),
                "l": len(self._rewards),
                "t": round(seconds, 6),
            }
        return observation, reward, terminated, truncated, info
