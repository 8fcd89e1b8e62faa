"""Passes what happens in Stable-Baselines3 on to an observer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from nondiff.agents.strategy import Observer, TrainedPolicy


class Bridge(BaseCallback):
    """Reports every step, has the policy evaluated when due, and ends training on the budget.

    `cut` says whether it ended the training before the algorithm came to an end by itself.
    """

    def __init__(
        self, observer: Observer, budget: int, policy: Callable[[], TrainedPolicy]
    ) -> None:
        super().__init__()
        self._observer = observer
        self._budget = budget
        self._policy = policy
        self.cut = False

    def _on_step(self) -> bool:
        self.cut = not self._goes_on()
        return not self.cut

    def _goes_on(self) -> bool:
        steps = self.num_timesteps
        episodes = self.model.ep_info_buffer or ()
        mean_return = float(np.mean([e["r"] for e in episodes])) if episodes else None
        successes = self.model.ep_success_buffer or ()
        success = float(np.mean(successes)) if successes else None
        due = self._observer.after_step(steps, mean_return, success)
        if steps >= self._budget:  # whoever trains evaluates the end, after the last update
            return self._is_last_before_update()
        return not due or self._observer.evaluate(steps, self._policy()) is None

    def _is_last_before_update(self) -> bool:
        """Whether the algorithm will learn from this step, and then end by itself."""
        if "train_freq" in self.locals:
            return bool(self.locals["num_collected_steps"] == self.locals["train_freq"].frequency)
        buffer = self.locals["rollout_buffer"]
        return bool(buffer.pos + 1 == buffer.buffer_size)

    def release(self) -> None:
        """Let go of the algorithm, so that its buffers are freed at once and not in a while."""
        self.locals = {}
        del self.model


class _ObserverWriter(KVWriter):
    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0
    ) -> None:
        numbers = {
            key: float(value)
            for key, value in key_values.items()
            if isinstance(value, int | float | np.number) and not key.startswith("time/")
        }
        if numbers:
            self._observer.record(step, numbers)

    def close(self) -> None:
        """Nothing is open."""


def observer_logger(observer: Observer) -> Logger:
    """A logger of Stable-Baselines3 that writes to an observer."""
    return Logger(folder=None, output_formats=[_ObserverWriter(observer)])
