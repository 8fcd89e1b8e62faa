"""Presets of the arm's Reach.

An id of the dense variant is a row of its own: what is fast on dense rewards collapses on sparse
ones.
"""

from __future__ import annotations

from nondiff.agents.evolution.configs import CMAES
from nondiff.agents.pathwise.configs import Autodiff, FiniteDifference, Manual, Surrogate
from nondiff.agents.presets.preset import Preset, Presets
from nondiff.agents.sb3.algorithms.a2c import A2C
from nondiff.agents.sb3.algorithms.ppo import PPO
from nondiff.agents.sb3.algorithms.sac import SAC
from nondiff.agents.sb3.algorithms.td3 import TD3
from nondiff.agents.sb3.algorithms.tqc import TQC
from nondiff.agents.sb3.algorithms.trpo import TRPO

REACH, REACH_DENSE = "nondiff/PandaReach-v0", "nondiff/PandaReachDense-v0"
KUKA_REACH = "nondiff/KukaReach-v0"

# A short-sighted task: small discounts, large learning rates and small networks are fastest.
SAC_REACH = Preset(
    SAC(
        gamma=0.8,
        learning_starts=100,
        batch_size=256,
        ent_coef="auto_0.1",
        learning_rate=3e-3,
        net_arch=(64, 64),
    ),
    budget=5_000,
    eval_every=250,
    eval_episodes=10,
)

PRESETS: Presets = {
    ("ppo", REACH_DENSE): Preset(
        PPO(
            num_envs=8,
            n_steps=32,
            batch_size=128,
            n_epochs=20,
            gamma=0.7,
            gae_lambda=0.8,
            learning_rate=3e-3,
            net_arch=(64, 64),
            log_std_init=-0.7,
        ),
        budget=30_000,
        eval_every=2_048,
        eval_episodes=10,
    ),
    ("trpo", REACH_DENSE): Preset(
        TRPO(
            num_envs=8,
            n_steps=32,
            batch_size=64,
            target_kl=0.1,
            n_critic_updates=15,
            gamma=0.7,
            gae_lambda=0.8,
            learning_rate=3e-3,
            net_arch=(64, 64),
            log_std_init=-0.7,
        ),
        budget=30_000,
        eval_every=1_024,
        eval_episodes=10,
    ),
    ("a2c", REACH_DENSE): Preset(
        A2C(
            num_envs=8,
            n_steps=8,
            gamma=0.7,
            gae_lambda=0.8,
            normalize_advantage=True,
            learning_rate=2e-3,
            net_arch=(64, 64),
            log_std_init=-0.7,
        ),
        budget=80_000,
        eval_every=4_096,
        eval_episodes=10,
    ),
    ("sac", REACH_DENSE): Preset(
        SAC(
            gamma=0.7,
            learning_starts=100,
            batch_size=128,
            ent_coef="auto_0.1",
            learning_rate=3e-3,
            net_arch=(64, 64),
        ),
        budget=5_000,
        eval_every=250,
        eval_episodes=10,
    ),
    ("td3", REACH_DENSE): Preset(
        TD3(
            gamma=0.7,
            learning_starts=100,
            batch_size=128,
            action_noise=0.2,
            learning_rate=3e-3,
            net_arch=(64, 64),
        ),
        budget=8_000,
        eval_every=500,
        eval_episodes=10,
    ),
    ("tqc", REACH_DENSE): Preset(
        TQC(
            gamma=0.7,
            learning_starts=100,
            batch_size=128,
            ent_coef="auto_0.1",
            learning_rate=3e-3,
            net_arch=(64, 64),
        ),
        budget=5_000,
        eval_every=250,
        eval_episodes=10,
    ),
    ("ppo", REACH): Preset(
        PPO(
            num_envs=8,
            n_steps=128,
            batch_size=256,
            gamma=0.9,
            gae_lambda=0.9,
            learning_rate=1e-3,
            net_arch=(64, 64),
            log_std_init=-0.5,
            normalize_observation=True,
        ),
        budget=50_000,
        eval_every=4_096,
        eval_episodes=10,
    ),
    ("trpo", REACH): Preset(
        TRPO(
            num_envs=8,
            n_steps=128,
            batch_size=128,
            target_kl=0.03,
            gamma=0.9,
            gae_lambda=0.9,
            learning_rate=2e-3,
            net_arch=(64, 64),
            log_std_init=-0.5,
            normalize_observation=True,
        ),
        budget=50_000,
        eval_every=4_096,
        eval_episodes=10,
    ),
    ("a2c", REACH): Preset(
        A2C(
            num_envs=8,
            n_steps=16,
            gamma=0.9,
            gae_lambda=0.9,
            normalize_advantage=True,
            learning_rate=1e-3,
            net_arch=(64, 64),
            log_std_init=-0.5,
            normalize_observation=True,
        ),
        budget=30_000,
        eval_every=4_096,
        eval_episodes=10,
    ),
    ("sac", REACH): SAC_REACH,
    ("sac", KUKA_REACH): SAC_REACH,
    ("td3", REACH): Preset(
        TD3(
            gamma=0.8,
            learning_starts=100,
            batch_size=128,
            action_noise=0.2,
            learning_rate=3e-3,
            net_arch=(64, 64),
        ),
        budget=5_000,
        eval_every=500,
        eval_episodes=10,
    ),
    ("tqc", REACH): Preset(
        TQC(
            gamma=0.8,
            learning_starts=100,
            batch_size=128,
            ent_coef="auto_0.1",
            learning_rate=3e-3,
            net_arch=(64, 64),
        ),
        budget=5_000,
        eval_every=250,
        eval_episodes=10,
    ),
    ("surrogate", REACH_DENSE): Preset(
        Surrogate(
            surrogate_net_arch=(128, 128),
            surrogate_steps=200,
            policy_steps=200,
            final_policy_steps=500,
        ),
        budget=2_000,
        eval_every=250,
        eval_episodes=10,
    ),
    ("manual", REACH_DENSE): Preset(
        Manual(batch_size=2, unroll=2), budget=4_000, eval_every=500, eval_episodes=10
    ),
    ("autodiff", REACH_DENSE): Preset(
        Autodiff(batch_size=2, unroll=2), budget=4_000, eval_every=500, eval_episodes=10
    ),
    ("finite-difference", REACH_DENSE): Preset(
        FiniteDifference(batch_size=2, unroll=2), budget=200_000, eval_every=20_000
    ),
    ("cma-es", REACH_DENSE): Preset(
        CMAES(net_arch=(16,), episodes=2), budget=100_000, eval_every=10_000
    ),
}
