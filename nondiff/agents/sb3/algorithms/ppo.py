"""Proximal policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nondiff.agents.hyperparameters import Count, NonNegative, Positive, Several
from nondiff.agents.sb3.algorithms.on_policy import OnPolicy


@dataclass(frozen=True)
class PPO(OnPolicy):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347)."""

    name = "ppo"
    library = "stable_baselines3:PPO"
    saved = ("normalize_advantage", "clip_range")

    batch_size: Several = 64
    """Transitions a gradient step."""
    n_epochs: Count = 10
    """Passes over each rollout."""
    clip_range: Positive = 0.2
    """How far the probability ratio may move in an update."""
    clip_range_vf: Positive | None = None
    """The same for the value function; None: no limit."""
    ent_coef: NonNegative = 0.0
    """Weight of the entropy bonus."""
    ent_coef_schedule: Literal["constant", "linear"] = "constant"
    """Kept, or lowered linearly to zero at the end of the budget."""
    vf_coef: NonNegative = 0.5
    """Weight of the value loss."""
    max_grad_norm: Positive = 0.5
    """Gradients are clipped to this norm."""
    target_kl: Positive | None = None
    """End an update early beyond this divergence."""
