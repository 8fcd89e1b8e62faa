"""Hyperparameters known to work, by strategy and environment.

An id of the arm's dense variant is a row of its own: what is fast on dense rewards collapses on
sparse ones. A pair that is not listed gets the strategy's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

from nondiff.agents import find_strategy
from nondiff.agents.evolution.configs import CMAES
from nondiff.agents.pathwise.configs import Autodiff, FiniteDifference, Manual, Surrogate
from nondiff.agents.reinforcement.configs import A2C, PPO, SAC, TD3, TQC, TRPO
from nondiff.agents.strategy import Strategy

DEFAULT_BUDGET = 100_000
DEFAULT_REVIEWS = 20  # evaluations spread over the budget
LEAST_EVAL_EVERY = 1_000  # steps


@dataclass(frozen=True)
class Preset:
    """Where a training starts from.

    Args:
        strategy: the hyperparameters.
        budget: environment steps, or calls, that suffice with some reserve.
        eval_every: environment steps between evaluations; None: `DEFAULT_REVIEWS` a budget,
            at least `LEAST_EVAL_EVERY` apart.
        eval_episodes: episodes an evaluation.
    """

    strategy: Strategy
    budget: int = DEFAULT_BUDGET
    eval_every: int | None = None
    eval_episodes: int = 20


ANTENNA = "nondiff/YagiAntenna-v0"
WAVES, WAVES6 = "nondiff/SurfaceWaves-v0", "nondiff/SurfaceWaves6-v0"
DOOM_BASIC, DOOM_CENTER = "nondiff/DoomBasic-v0", "nondiff/DoomDefendTheCenter-v0"
OP_AMP = "nondiff/OpAmp-v0"
REACH, REACH_DENSE = "nondiff/PandaReach-v0", "nondiff/PandaReachDense-v0"

# A short-sighted task: small discounts, large learning rates and small networks are fastest.
PRESETS: dict[tuple[str, str], Preset] = {
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
    ("sac", REACH): Preset(
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
    ),
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
        budget=400_000,
        eval_every=20_000,
        eval_episodes=40,
    ),
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
    **{
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
    },
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


def find_preset(strategy: str, env_id: str) -> Preset:
    """The preset of a pair, or the strategy's defaults.

    Raises:
        UnknownNameError: no such strategy.
    """
    return PRESETS.get((strategy, env_id)) or Preset(find_strategy(strategy)())
