"""What a preset is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nondiff.agents.strategy import Strategy

DEFAULT_BUDGET = 100_000
DEFAULT_EVAL_EPISODES = 20
DEFAULT_REVIEWS = 20  # evaluations spread over the budget
MIN_EVAL_EVERY = 1_000  # steps


@dataclass(frozen=True)
class Preset:
    """Where a training starts from.

    Args:
        strategy: the hyperparameters.
        budget: environment steps, or calls, that suffice with some reserve.
        eval_every: environment steps between evaluations; None: `DEFAULT_REVIEWS` a budget,
            at least `MIN_EVAL_EVERY` apart.
        eval_episodes: episodes an evaluation.
    """

    strategy: Strategy
    budget: int = DEFAULT_BUDGET
    eval_every: int | None = None
    eval_episodes: int = DEFAULT_EVAL_EPISODES


Presets = Mapping[tuple[str, str], Preset]  # by strategy and environment
