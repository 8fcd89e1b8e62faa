"""Presets of Doom's scenarios."""

from __future__ import annotations

from nondiff.agents.presets.preset import Preset, Presets
from nondiff.agents.sb3.algorithms.ppo import PPO

DOOM_BASIC, DOOM_CENTER = "nondiff/DoomBasic-v0", "nondiff/DoomDefendTheCenter-v0"

PRESETS: Presets = {
    # Rewards of a hundred at once, or of one now and then: returns are scaled while learning.
    ("ppo", DOOM_BASIC): Preset(
        PPO(
            num_envs=8,
            n_steps=128,
            batch_size=256,
            n_epochs=4,
            gamma=0.99,
            learning_rate=1e-3,
            learning_rate_schedule="linear",
            ent_coef=0.1,
            ent_coef_schedule="linear",
            normalize_reward=True,
        ),
        budget=200_000,
        eval_every=20_000,
        eval_episodes=40,
    ),
    ("ppo", DOOM_CENTER): Preset(
        PPO(
            num_envs=8,
            n_steps=256,
            batch_size=512,
            n_epochs=4,
            gamma=0.985,
            learning_rate=5e-4,
            learning_rate_schedule="linear",
            ent_coef=0.05,
            ent_coef_schedule="linear",
        ),
        budget=300_000,
        eval_every=20_000,
        eval_episodes=40,
    ),
}
