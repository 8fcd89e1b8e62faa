"""Presets of Gymnasium's classic control.

Those of values of actions are rl-zoo3's, with half of its budget: the defaults are for games of
millions of steps, and learn nothing in so few.
https://github.com/DLR-RM/rl-baselines3-zoo, hyperparams/dqn.yml and hyperparams/qrdqn.yml
"""

from __future__ import annotations

from typing import Any

from nondiff.agents.presets.preset import Preset, Presets
from nondiff.agents.sb3.algorithms.dqn import DQN
from nondiff.agents.sb3.algorithms.qrdqn import QRDQN

CART_POLE = "CartPole-v1"
VALUES: dict[str, Any] = {
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 1_000,
    "target_update_interval": 10,
    "train_freq": 256,
    "gradient_steps": 128,
    "exploration_fraction": 0.16,
    "exploration_final_eps": 0.04,
    "net_arch": (256, 256),
}

PRESETS: Presets = {
    ("dqn", CART_POLE): Preset(DQN(**VALUES), budget=25_000),
    ("qrdqn", CART_POLE): Preset(QRDQN(n_quantiles=10, **VALUES), budget=25_000),
}
