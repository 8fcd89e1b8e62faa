"""The classes of Stable-Baselines3 and sb3-contrib behind the names of strategies and options."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.sb3.algorithms.reinforcement import Reinforcement
from nondiff.errors import UnknownNameError

ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "elu": torch.nn.ELU,
    "leaky_relu": torch.nn.LeakyReLU,
    "silu": torch.nn.SiLU,
}


def algorithms() -> dict[str, type[Reinforcement]]:
    """The hyperparameters of every algorithm, by strategy name."""
    kinds = {name: find_strategy(name) for name in STRATEGIES}
    return {name: kind for name, kind in kinds.items() if issubclass(kind, Reinforcement)}


def find_algorithm(name: str) -> type[Reinforcement]:
    """The hyperparameters of an algorithm.

    Raises:
        UnknownNameError: no strategy of this name is an algorithm of Stable-Baselines3's.
    """
    known = algorithms()
    if name not in known:
        raise UnknownNameError("strategy", name, known)
    return known[name]


def library_class(kind: type[Reinforcement]) -> type[BaseAlgorithm]:
    """The class of an algorithm in Stable-Baselines3 or sb3-contrib."""
    module, _, name = kind.library.partition(":")
    found: type[BaseAlgorithm] = getattr(import_module(module), name)
    return found


def saved_by(data: Mapping[str, Any]) -> str | None:
    """The name of the algorithm whose zip has this plain JSON: whose entries are most of it."""
    fitting = {
        name: len(kind.saved)
        for name, kind in algorithms().items()
        if all(_has(data, entry) for entry in kind.saved)
    }
    return max(fitting, key=lambda name: fitting[name], default=None)


def _has(data: Mapping[str, Any], entry: str | tuple[str, float]) -> bool:
    if isinstance(entry, str):
        return entry in data
    name, value = entry
    return bool(data.get(name) == value)


def policy_name(space: spaces.Space[Any]) -> str:
    """Stable-Baselines3's name of the policy for an observation space."""
    if isinstance(space, spaces.Dict):
        return "MultiInputPolicy"
    return "CnnPolicy" if is_image_space(space) else "MlpPolicy"
