"""Hyperparameters of the algorithms that learn from a replay buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from gymnasium import spaces

from nondiff.agents.hyperparameters import (
    MAX_REPEATS,
    MAX_TRANSITIONS,
    Count,
    CountOrNone,
    NonNegative,
    Several,
    Share,
)
from nondiff.agents.sb3.algorithms.reinforcement import Imitating, Reinforcement


@dataclass(frozen=True)
class OffPolicy(Reinforcement):
    """What the algorithms that learn from a replay buffer share."""

    checkpoint_every: ClassVar[int] = 5_000  # their steps are slow, for each is learnt from

    buffer_size: Annotated[int, Ge(1), Le(MAX_TRANSITIONS)] = 1_000_000
    """Transitions kept; no more than the budget are allocated."""
    learning_starts: CountOrNone = 100
    """Random steps before learning; with HER of each environment, more than an episode has."""
    batch_size: Several = 256
    """Transitions a gradient step."""
    train_freq: Count = 1
    """Steps of each environment between updates."""
    gradient_steps: Annotated[int, Ge(-1), Le(MAX_REPEATS)] = 1
    """Gradient steps an update; -1: as many as environment steps."""
    demonstrations_share: Share = 0.5
    """Part of each batch that is drawn from the demonstrations, which are kept to the end
    (arXiv:2302.02948)."""


@dataclass(frozen=True)
class TargetNetworks(OffPolicy):
    """What those share whose critics learn from networks that follow them slowly."""

    tau: Share = 0.005
    """How fast target networks follow."""


@dataclass(frozen=True)
class Hindsight(OffPolicy):
    """What those share that can relabel goals."""

    her: bool | None = None
    """Hindsight relabelling (arXiv:1707.01495); None: where the environment has goals."""
    n_sampled_goal: Count = 4
    """Relabelled transitions for each real one."""
    goal_selection_strategy: Literal["future", "final", "episode"] = "future"
    """Where relabelled goals come from."""


@dataclass(frozen=True)
class ActorCritic(OffPolicy, Imitating):
    """What those share whose actor follows a critic."""

    acts_in = (spaces.Box,)

    imitation: NonNegative = 5.0
    """Step size with which the actor goes on to imitate the demonstrations beside each update, in
    units of the learning rate (arXiv:1709.10089, without its filter)."""
