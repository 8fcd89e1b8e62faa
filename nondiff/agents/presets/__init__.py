"""Hyperparameters known to work, by strategy and environment: data, a module a family.

A pair that is not listed gets the strategy's defaults.
"""

from __future__ import annotations

from nondiff.agents import find_strategy
from nondiff.agents.presets import arm_objects, arm_reach, design, doom, surface_waves
from nondiff.agents.presets.preset import (
    DEFAULT_BUDGET,
    DEFAULT_REVIEWS,
    LEAST_EVAL_EVERY,
    Preset,
    Presets,
)

__all__ = [
    "DEFAULT_BUDGET",
    "DEFAULT_REVIEWS",
    "LEAST_EVAL_EVERY",
    "PRESETS",
    "Preset",
    "find_preset",
]

PRESETS: Presets = {
    **arm_reach.PRESETS,
    **arm_objects.PRESETS,
    **doom.PRESETS,
    **design.PRESETS,
    **surface_waves.PRESETS,
}


def find_preset(strategy: str, env_id: str) -> Preset:
    """The preset of a pair, or the strategy's defaults.

    Raises:
        UnknownNameError: no such strategy.
    """
    return PRESETS.get((strategy, env_id)) or Preset(find_strategy(strategy)())
