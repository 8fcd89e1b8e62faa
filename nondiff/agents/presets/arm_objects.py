"""Presets of the arm's tasks with objects, which are learnt from demonstrations.

`benchmarks/arm_learning_rows.py` says of how many; those of Stack, Slide and Flip have noise, and
observe places relative to the hand, of Stack and Flip the way to the goal as well. The experts'
actions change quickly, where they come down or take hold: rectified layers, and observations on one
scale, follow them with a tenth of the error. What was imitated is then improved on with little
exploration and small steps.
"""

from __future__ import annotations

from dataclasses import replace

from nondiff.agents.presets.preset import Preset, Presets
from nondiff.agents.sb3.algorithms.ppo import PPO

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

# Gradient steps of imitation, and of the environment after it. Slide is not solved:
# `docs/results/arm_learning.md` says how far it gets.
STEPS = {
    "PandaPush": (6_000, 20_000),
    "PandaPickAndPlace": (6_000, 20_000),
    "PandaStack": (15_000, 20_000),
    "PandaSlide": (12_000, 10_000),
    "PandaFlip": (40_000, 10_000),
}

# Which way to tip a cube is a choice: the mean of two ways is none.
CHOOSING = replace(IMITATING, imitation_error="absolute")

PRESETS: Presets = {
    ("ppo", f"nondiff/{task}-v0"): Preset(
        replace(CHOOSING if task == "PandaFlip" else IMITATING, warm_start_steps=imitation),
        budget=budget,
        eval_every=8_192,
        eval_episodes=40,
    )
    for task, (imitation, budget) in STEPS.items()
}
