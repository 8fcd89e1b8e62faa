"""Soft actor-critic."""

from __future__ import annotations

from dataclasses import dataclass

from nondiff.agents.hyperparameters import Count
from nondiff.agents.sb3.algorithms.learned_entropy import LearnedEntropy
from nondiff.agents.sb3.algorithms.off_policy import Hindsight, TargetNetworks


@dataclass(frozen=True)
class SAC(TargetNetworks, Hindsight, LearnedEntropy):
    """Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905)."""

    name = "sac"
    library = "stable_baselines3:SAC"
    saved = ("target_entropy", "target_update_interval")

    target_update_interval: Count = 1
    """Gradient steps between updates of the target networks."""
