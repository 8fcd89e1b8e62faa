"""Trust-region policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass

from nondiff.agents.hyperparameters import Count, NonNegative, Positive, Several, Share
from nondiff.agents.sb3.algorithms.on_policy import OnPolicy


@dataclass(frozen=True)
class TRPO(OnPolicy):
    """Trust-region policy optimisation (Schulman et al. 2015, arXiv:1502.05477)."""

    name = "trpo"
    library = "sb3_contrib:TRPO"
    saved = ("normalize_advantage", "cg_max_steps")

    learning_rate: Positive = 1e-3
    batch_size: Several = 128
    """Transitions a gradient step of the value function."""
    target_kl: Positive = 0.01
    """The trust region."""
    cg_max_steps: Count = 15
    """Conjugate-gradient iterations."""
    cg_damping: NonNegative = 0.1
    """Added to the diagonal of the Hessian."""
    line_search_shrinking_factor: Share = 0.8
    """Step shrinkage of the line search."""
    line_search_max_iter: Count = 10
    """Attempts of the line search."""
    n_critic_updates: Count = 10
    """Passes of the value function over each rollout."""
    sub_sampling_factor: Count = 1
    """Use one transition in so many for the Hessian."""
