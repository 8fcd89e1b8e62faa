"""Twin delayed deterministic policy gradient."""

from __future__ import annotations

from dataclasses import dataclass

from nondiff.agents.hyperparameters import Count, NonNegative, Positive
from nondiff.agents.sb3.algorithms.layout import DETERMINISTIC
from nondiff.agents.sb3.algorithms.off_policy import ActorCritic, Hindsight, TargetNetworks


@dataclass(frozen=True)
class TD3(TargetNetworks, Hindsight, ActorCritic):
    """Twin delayed deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477)."""

    name = "td3"
    library = "stable_baselines3:TD3"
    layout = DETERMINISTIC
    saved = ("target_policy_noise",)

    learning_rate: Positive = 1e-3
    action_noise: NonNegative = 0.1
    """Deviation of the exploration noise, actions scaled to [-1, 1]."""
    policy_delay: Count = 2
    """Critic updates for each of the actor."""
    target_policy_noise: NonNegative = 0.2
    """Deviation of the smoothing noise of target actions."""
    target_noise_clip: NonNegative = 0.5
    """Its largest magnitude."""
