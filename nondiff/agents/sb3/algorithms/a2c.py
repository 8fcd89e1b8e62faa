"""Synchronous advantage actor-critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nondiff.agents.hyperparameters import NonNegative, Positive, Rows, Share
from nondiff.agents.sb3.algorithms.on_policy import OnPolicy


@dataclass(frozen=True)
class A2C(OnPolicy):
    """Synchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783)."""

    name = "a2c"
    library = "stable_baselines3:A2C"
    saved = ("normalize_advantage",)

    learning_rate: Positive = 7e-4
    n_steps: Rows = 5
    gae_lambda: Share = 1.0
    normalize_advantage: bool = False
    ent_coef: NonNegative = 0.0
    """Weight of the entropy bonus."""
    ent_coef_schedule: Literal["constant", "linear"] = "constant"
    """Kept, or lowered linearly to zero at the end of the budget."""
    vf_coef: NonNegative = 0.5
    """Weight of the value loss."""
    max_grad_norm: Positive = 0.5
    """Gradients are clipped to this norm."""
    use_rms_prop: bool = True
    """RMSprop, as in the paper; otherwise Adam."""
    rms_prop_eps: Positive = 1e-5
    """Smallest divisor in RMSprop."""
