"""Deep deterministic policy gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nondiff.agents.hyperparameters import NonNegative, Positive
from nondiff.agents.sb3.algorithms.layout import DETERMINISTIC
from nondiff.agents.sb3.algorithms.off_policy import ActorCritic, Hindsight, TargetNetworks


@dataclass(frozen=True)
class DDPG(TargetNetworks, Hindsight, ActorCritic):
    """Deep deterministic policy gradient (Lillicrap et al. 2015, arXiv:1509.02971)."""

    name = "ddpg"
    library = "stable_baselines3:DDPG"
    layout = DETERMINISTIC
    # A zip is one of its successor's, with the successor's improvements put out of action.
    saved = (("target_policy_noise", 0.1), ("target_noise_clip", 0.0), ("policy_delay", 1))
    n_critics: ClassVar[int] = 1

    learning_rate: Positive = 1e-3
    action_noise: NonNegative = 0.1
    """Deviation of the exploration noise, actions scaled to [-1, 1]."""
