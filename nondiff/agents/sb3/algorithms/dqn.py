"""Deep Q-network."""

from __future__ import annotations

from dataclasses import dataclass

from nondiff.agents.hyperparameters import Positive
from nondiff.agents.sb3.algorithms.layout import Layout
from nondiff.agents.sb3.algorithms.q_learning import QLearning


@dataclass(frozen=True)
class DQN(QLearning):
    """Deep Q-network (Mnih et al. 2015, doi:10.1038/nature14236)."""

    name = "dqn"
    library = "stable_baselines3:DQN"
    layout = Layout("q_net.q_net.", critic=None)
    saved = ("exploration_rate",)

    learning_rate: Positive = 1e-4
