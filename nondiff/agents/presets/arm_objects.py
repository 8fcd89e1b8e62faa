"""Presets of the arm's tasks with objects, which are learnt from demonstrations.

`benchmarks/arm_learning_rows.py` says of how many; those of Stack have noise, and observe places
relative to the hand. The experts' actions change abruptly, where they
come down or take hold: rectified layers, and observations on one scale, follow them with a tenth of
the error. What was imitated is then improved on with little exploration and small steps.
"""

from __future__ import annotations

from dataclasses import replace

from nondiff.agents.presets.preset import Preset, Presets
from nondiff.agents.reinforcement.configs import PPO

IMITATING = PPO(
    num_envs=8,
    vec_env="batched",
    n_steps=128,
    batch_size=256,
    n_epochs=5,
    gamma=0.98,
    learning_rate=3e-5,
    net_arch=(256, 256, 256),
    activation="relu",
    log_std_init=-3.0,
    normalize_observation=True,
)

STEPS = {"PandaPush": 6_000, "PandaPickAndPlace": 6_000, "PandaStack": 15_000}

PRESETS: Presets = {
    ("ppo", f"nondiff/{task}-v0"): Preset(
        replace(IMITATING, warm_start_steps=steps),
        budget=20_000,
        eval_every=8_192,
        eval_episodes=40,
    )
    for task, steps in STEPS.items()
}
