"""Critics normalised over batches, without target networks."""

from __future__ import annotations

from dataclasses import dataclass

from nondiff.agents.hyperparameters import Count, Positive
from nondiff.agents.sb3.algorithms.learned_entropy import LearnedEntropy


@dataclass(frozen=True)
class CrossQ(LearnedEntropy):
    """Batch normalisation in place of target networks (Bhatt et al. 2024, arXiv:1902.05605)."""

    name = "crossq"
    library = "sb3_contrib:CrossQ"
    saved = ("target_entropy", "policy_delay")

    learning_rate: Positive = 1e-3
    policy_delay: Count = 3
    """Critic updates for each of the actor."""
