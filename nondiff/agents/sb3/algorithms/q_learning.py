"""Hyperparameters of the algorithms that learn the value of each of a few actions."""

from __future__ import annotations

from dataclasses import dataclass

from gymnasium import spaces

from nondiff.agents.hyperparameters import Count, Positive, Several, Share
from nondiff.agents.sb3.algorithms.off_policy import Hindsight, TargetNetworks
from nondiff.errors import InvalidOptionError


@dataclass(frozen=True)
class QLearning(TargetNetworks, Hindsight):
    """What the algorithms share that take the action of the highest value, or a random one."""

    acts_in = (spaces.Discrete,)
    counters = ("_n_calls", "exploration_rate")

    batch_size: Several = 32
    tau: Share = 1.0
    train_freq: Count = 4
    target_update_interval: Count = 10_000
    """Environment steps between updates of the target network."""
    exploration_fraction: Share = 0.1
    """Part of the budget in which the probability of a random action falls to its end."""
    exploration_initial_eps: Share = 1.0
    """Probability of a random action at the start."""
    exploration_final_eps: Share = 0.05
    """Probability of a random action at the end."""
    max_grad_norm: Positive | None = 10.0
    """Gradients are clipped to this norm; None: not at all."""

    def check_hyperparameters(self) -> None:
        if self.network != "stable-baselines3":
            raise InvalidOptionError(
                f"{self.name}: network = {self.network!r} gives actions, and {self.name} acts by "
                "the values of its own network; it needs network = 'stable-baselines3'"
            )
