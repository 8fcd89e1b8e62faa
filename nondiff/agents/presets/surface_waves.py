"""Presets of seismic inversion."""

from __future__ import annotations

from nondiff.agents.evolution.configs import CMAES
from nondiff.agents.pathwise.configs import Autodiff, FiniteDifference, Manual, Surrogate
from nondiff.agents.presets.preset import Preset, Presets
from nondiff.agents.sb3.algorithms.ppo import PPO

WAVES, WAVES6 = "nondiff/SurfaceWaves-v0", "nondiff/SurfaceWaves6-v0"

PRESETS: Presets = {
    pair: preset
    for env in (WAVES, WAVES6)
    for pair, preset in {
        # One step an episode: nothing is discounted, and the value is a baseline.
        ("ppo", env): Preset(
            PPO(
                network="nondiff",
                n_steps=128,
                batch_size=64,
                n_epochs=20,
                gamma=0.0,
                learning_rate=1e-3,
                learning_rate_schedule="linear",
                log_std_init=-2.0,
            ),
            budget=30_000,
        ),
        ("surrogate", env): Preset(Surrogate(), budget=1_000, eval_every=250),
        ("manual", env): Preset(Manual(), budget=1_000, eval_every=250),
        ("autodiff", env): Preset(Autodiff(), budget=1_000, eval_every=250),
        ("finite-difference", env): Preset(FiniteDifference(), budget=3_000, eval_every=500),
        ("cma-es", env): Preset(CMAES(sigma=0.05), budget=30_000),
    }.items()
}
