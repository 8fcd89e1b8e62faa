"""Presets of the design of circuits and antennas."""

from __future__ import annotations

from nondiff.agents.evolution.configs import CMAES
from nondiff.agents.pathwise.configs import FiniteDifference, Surrogate
from nondiff.agents.presets.preset import Preset, Presets
from nondiff.agents.sb3.algorithms.ppo import PPO
from nondiff.agents.sb3.algorithms.sac import SAC

ANTENNA, OP_AMP = "nondiff/YagiAntenna-v0", "nondiff/OpAmp-v0"

PRESETS: Presets = {
    ("ppo", OP_AMP): Preset(
        PPO(
            network="nondiff",
            num_envs=16,
            vec_env="batched",
            n_steps=32,
            batch_size=128,
            gamma=0.9,
            gae_lambda=0.9,
            learning_rate=2e-3,
            learning_rate_schedule="linear",
            net_arch=(128, 128),
            log_std_init=-0.7,
        ),
        budget=20_000,
        eval_every=5_000,
    ),
    ("sac", OP_AMP): Preset(
        SAC(
            gamma=0.9,
            learning_starts=500,
            batch_size=128,
            ent_coef="auto_0.1",
            learning_rate=1e-3,
            net_arch=(128, 128),
        ),
        budget=3_000,
        eval_every=1_000,
    ),
    # Random actions walk from the middle, and only large ones as far as the bounds.
    ("surrogate", OP_AMP): Preset(Surrogate(initial_deviation=1.0), budget=1_000, eval_every=500),
    ("finite-difference", OP_AMP): Preset(
        FiniteDifference(unroll=3), budget=20_000, eval_every=5_000
    ),
    ("cma-es", OP_AMP): Preset(CMAES(net_arch=(16,), sigma=0.3), budget=20_000, eval_every=5_000),
    ("ppo", ANTENNA): Preset(
        PPO(
            network="nondiff",
            n_steps=64,
            batch_size=64,
            n_epochs=20,
            gamma=0.0,
            learning_rate=3e-3,
            learning_rate_schedule="linear",
            log_std_init=-2.0,
        ),
        budget=10_000,
    ),
    ("sac", ANTENNA): Preset(
        SAC(
            gamma=0.0,
            learning_starts=200,
            batch_size=128,
            ent_coef="auto_0.1",
            learning_rate=3e-3,
            net_arch=(64, 64),
        ),
        budget=3_000,
    ),
    ("surrogate", ANTENNA): Preset(Surrogate(), budget=2_000, eval_every=500),
    # Steps in which a call's five printed digits still show a difference.
    ("finite-difference", ANTENNA): Preset(FiniteDifference(step=0.01), budget=3_000),
    ("cma-es", ANTENNA): Preset(CMAES(sigma=0.05), budget=10_000),
}
