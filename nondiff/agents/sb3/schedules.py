"""What changes in the course of a training, by the steps done of the whole budget.

Stable-Baselines3 offers the share that remains of the present call of `learn`, a segment.
"""

from __future__ import annotations

import weakref
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from nondiff.agents.sb3.algorithms.reinforcement import Reinforcement


def remaining_share(algorithm: BaseAlgorithm, budget: int) -> float:
    """From 1 at the start of a training to 0 at its end."""
    return max(0.0, 1 - algorithm.num_timesteps / budget)


class LearningRate:
    """The learning rate that a configuration asks for, as Stable-Baselines3 takes it."""

    def __init__(self, config: Reinforcement, budget: int) -> None:
        self._config = config
        self._budget = budget
        self._algorithm: weakref.ref[BaseAlgorithm] | None = None

    def follow(self, algorithm: BaseAlgorithm) -> None:
        """Read the steps done from this algorithm, which keeps the schedule and not the reverse."""
        self._algorithm = weakref.ref(algorithm)

    def __call__(self, remaining: float) -> float:
        algorithm = self._algorithm() if self._algorithm else None
        if algorithm is None or self._config.learning_rate_schedule == "constant":
            return self._config.learning_rate
        return remaining_share(algorithm, self._budget) * self._config.learning_rate


def explore_over(budget: int, algorithm: Any) -> None:
    """Stretch the schedule of random actions over the whole budget, where there is one."""
    schedule = getattr(algorithm, "exploration_schedule", None)
    if schedule is not None:
        followed: Any = weakref.proxy(algorithm)
        algorithm.exploration_schedule = lambda _: schedule(remaining_share(followed, budget))


class EntropyDecay(BaseCallback):
    """Lowers the weight of the entropy bonus linearly to zero, before each update."""

    def __init__(self, initial: float, budget: int) -> None:
        super().__init__()
        self._initial = initial
        self._budget = budget

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        weight = remaining_share(self.model, self._budget) * self._initial
        self.model.ent_coef = weight  # type: ignore[attr-defined]
        self.logger.record("train/ent_coef", weight)
