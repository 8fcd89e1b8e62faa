"""Scripted experts as policies, and how to find the expert of an environment."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.experts import EXPERTS
from nondiff.envs.arm.experts.motion import Array
from nondiff.errors import InvalidOptionError

Act = Callable[[dict[str, Any]], Array]


class Expert:
    """A scripted policy that solves a task of the arm by end-effector control.

    It is deterministic and has no memory: an action depends on the observation alone.

    Args:
        act: maps an observation to an action (3,) or (4,); entries are clipped to [-1, 1].
    """

    def __init__(self, act: Act) -> None:
        self._act = act

    def predict(self, observation: Any, deterministic: bool = True) -> NDArray[np.float32]:
        """The action for one observation; `deterministic` has no effect."""
        return np.clip(self._act(observation), -1.0, 1.0).astype(np.float32)


def find_expert(env: gymnasium.Env[Any, Any]) -> Expert:
    """Find the expert of an environment.

    Raises:
        InvalidOptionError: there is none, the environment has joint control, or its observations
            hold pictures.
    """
    spec = env.spec
    entry_point = None if spec is None else spec.entry_point
    if spec is None or entry_point not in EXPERTS:
        with_one = [i for i, s in gymnasium.registry.items() if s.entry_point in EXPERTS]
        name = "this environment" if spec is None else spec.id
        raise InvalidOptionError(f"{name} has no expert; those with one are {', '.join(with_one)}")
    if spec.kwargs.get("control_type", "ee") != "ee":
        raise InvalidOptionError(
            f"the expert of {spec.id} moves the end effector: control_type must be 'ee', not "
            f"{spec.kwargs['control_type']!r}"
        )
    if spec.kwargs.get("camera") is not None:
        raise InvalidOptionError(
            f"the expert of {spec.id} sees no pictures: camera must be None, not "
            f"{spec.kwargs['camera']!r}"
        )
    module, name = EXPERTS[str(entry_point)].split(":")
    return Expert(getattr(import_module(module), name))
