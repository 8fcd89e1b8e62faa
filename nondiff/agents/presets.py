"""Hyperparameters known to work, by strategy and environment.

An id of the arm's dense variant is a row of its own: what is fast on dense rewards collapses on
sparse ones. A pair that is not listed gets the strategy's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

from nondiff.agents import find_strategy
from nondiff.agents.reinforcement.configs import PPO
from nondiff.agents.strategy import Strategy

DEFAULT_BUDGET = 100_000
DEFAULT_REVIEWS = 20  # evaluations spread over the budget
LEAST_EVAL_EVERY = 1_000  # steps


@dataclass(frozen=True)
class Preset:
    """Where a training starts from.

    Args:
        strategy: the hyperparameters.
        budget: environment steps that suffice with some reserve.
        eval_every: environment steps between evaluations; None: `DEFAULT_REVIEWS` a budget,
            at least `LEAST_EVAL_EVERY` apart.
    """

    strategy: Strategy
    budget: int = DEFAULT_BUDGET
    eval_every: int | None = None


REACH, REACH_DENSE = "nondiff/PandaReach-v0", "nondiff/PandaReachDense-v0"

PRESETS: dict[tuple[str, str], Preset] = {
    ("ppo", REACH_DENSE): Preset(
        PPO(
            num_envs=8,
            n_steps=16,
            batch_size=64,
            n_epochs=15,
            gamma=0.7,
            gae_lambda=0.8,
            learning_rate=3e-3,
            net_arch=(64, 64),
            log_std_init=-0.7,
        ),
        budget=30_000,
        eval_every=1_024,
    ),
}


def find_preset(strategy: str, env_id: str) -> Preset:
    """The preset of a pair, or the strategy's defaults.

    Raises:
        UnknownNameError: no such strategy.
    """
    return PRESETS.get((strategy, env_id)) or Preset(find_strategy(strategy)())
