"""Hyperparameters of the algorithms that learn from fresh rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from nondiff.agents.hyperparameters import MAX_REPEATS, Rows, Share
from nondiff.agents.sb3.algorithms.layout import GAUSSIAN
from nondiff.agents.sb3.algorithms.reinforcement import Imitating


@dataclass(frozen=True)
class OnPolicy(Imitating):
    """What the algorithms that learn from fresh rollouts share."""

    layout = GAUSSIAN

    n_steps: Rows = 2048
    """Steps of each environment between updates; at most the budget's share of each. A last
    rollout that the budget leaves incomplete is not trained on."""
    gae_lambda: Share = 0.95
    """Bias against variance of the generalised advantage estimate."""
    normalize_advantage: bool = True
    """Standardise advantages."""
    log_std_init: float = 0.0
    """Logarithm of the initial deviation of a continuous policy."""
    use_sde: bool = False
    """State-dependent exploration (gSDE) instead of independent noise."""
    sde_sample_freq: Annotated[int, Ge(-1), Le(MAX_REPEATS)] = -1
    """Steps between new gSDE noise; -1: once a rollout."""
