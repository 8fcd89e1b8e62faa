"""Hyperparameters known to work, by strategy and environment: data, a module a family.

A pair that is not listed gets the strategy's defaults.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

from nondiff.agents import find_strategy
from nondiff.agents.presets import (
    arm_objects,
    arm_reach,
    classic_control,
    design,
    doom,
    surface_waves,
)
from nondiff.agents.presets.preset import (
    DEFAULT_BUDGET,
    DEFAULT_EVAL_EPISODES,
    DEFAULT_REVIEWS,
    MIN_EVAL_EVERY,
    Preset,
    Presets,
)
from nondiff.agents.strategy import Strategy
from nondiff.env_recipe import EnvRecipe

__all__ = [
    "DEFAULT_BUDGET",
    "DEFAULT_EVAL_EPISODES",
    "DEFAULT_REVIEWS",
    "MIN_EVAL_EVERY",
    "PRESETS",
    "Preset",
    "completed",
    "find_preset",
    "preset_for",
]

S = TypeVar("S", bound=Strategy)

PRESETS: Presets = {
    **arm_reach.PRESETS,
    **arm_objects.PRESETS,
    **classic_control.PRESETS,
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


def preset_for(strategy: str, recipe: EnvRecipe) -> Preset:
    """The preset of a strategy on an environment, or the strategy's defaults.

    Presets are for environments that are observed without pictures and wrappers.

    Raises:
        UnknownNameError: no such strategy or environment.
    """
    kind = find_strategy(strategy)
    env_id = recipe.preset_id()
    if env_id is None or recipe.arguments.get("camera") is not None or recipe.wrappers:
        return Preset(kind())
    return find_preset(strategy, env_id)


def completed(strategy: S, preset: Preset) -> S:
    """The strategy with the preset's hyperparameters in place of those that were not passed."""
    others = {
        field.name: getattr(preset.strategy, field.name)
        for field in fields(preset.strategy)
        if field.name not in strategy.given
    }
    return replace(strategy, **others)
