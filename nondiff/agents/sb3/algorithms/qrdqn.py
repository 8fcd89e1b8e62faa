"""Deep Q-network that learns quantiles of the return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from nondiff.agents.hyperparameters import Positive, Share
from nondiff.agents.sb3.algorithms.layout import Layout
from nondiff.agents.sb3.algorithms.q_learning import QLearning


@dataclass(frozen=True)
class QRDQN(QLearning):
    """Quantile regression DQN (Dabney et al. 2017, arXiv:1710.10044)."""

    name = "qrdqn"
    library = "sb3_contrib:QRDQN"
    layout = Layout("quantile_net.quantile_net.", critic=None)
    saved = ("exploration_rate", "n_quantiles")

    learning_rate: Positive = 5e-5
    exploration_fraction: Share = 0.005
    exploration_final_eps: Share = 0.01
    max_grad_norm: Positive | None = None
    n_quantiles: Annotated[int, Ge(1), Le(1_000)] = 200
    """Quantiles of the return of an action; each is compared with all others."""
