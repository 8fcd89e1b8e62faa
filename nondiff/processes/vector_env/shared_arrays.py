"""Arrays in memory shared by the processes of a vector environment, one row per environment."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nondiff.errors import InvalidOptionError

ALIGNMENT = 64  # [bytes], so that no two arrays share a cache line
Parts = dict[str, NDArray[Any]]  # observations by Dict key; by "" if they are single arrays


@dataclass(frozen=True)
class SharedArrays:
    """The shared arrays, each of shape (num_envs, ...).

    Attributes:
        action: the next action of each environment.
        reward: of the last step, float64.
        terminated: whether the last step terminated the episode.
        truncated: whether the last step truncated the episode.
        observation: the current observations; the first of the next episode after a reset.
        final: the final observation of each environment's last completed episode.
    """

    action: NDArray[Any]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    observation: Parts
    final: Parts


@dataclass(frozen=True)
class Layout:
    """The placement of the arrays in shared memory.

    Args:
        num_envs: number of environments.
        observation_space: of a single environment.
        action_space: of a single environment.

    Raises:
        InvalidOptionError: from all methods, a space has no fixed shape and dtype.
    """

    num_envs: int
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]

    def allocate(self) -> Any:
        """Allocate memory for the arrays, to be passed to processes as they start.

        Its file is deleted before use, so that a killed process leaves nothing behind.
        """
        size = sum(_padded(shape, dtype) for shape, dtype in self._arrays().values())
        return multiprocessing.get_context("spawn").RawArray(ctypes.c_byte, size)

    def views(self, memory: Any) -> SharedArrays:
        """The arrays in memory from `allocate`."""
        views: dict[tuple[str, str], NDArray[Any]] = {}
        start = 0
        for name, (shape, dtype) in self._arrays().items():
            flat = np.frombuffer(memory, dtype, math.prod(shape), start)
            views[name] = flat.reshape(shape)
            start += _padded(shape, dtype)
        keys = parts_of(self.observation_space)
        return SharedArrays(
            action=views["action", ""],
            reward=views["reward", ""],
            terminated=views["terminated", ""],
            truncated=views["truncated", ""],
            observation={key: views["observation", key] for key in keys},
            final={key: views["final", key] for key in keys},
        )

    def _arrays(self) -> dict[tuple[str, str], tuple[tuple[int, ...], np.dtype[Any]]]:
        arrays: dict[tuple[str, str], Any] = {
            ("action", ""): self._shared(self.action_space),
            ("reward", ""): ((self.num_envs,), np.dtype(np.float64)),
            ("terminated", ""): ((self.num_envs,), np.dtype(np.bool_)),
            ("truncated", ""): ((self.num_envs,), np.dtype(np.bool_)),
        }
        for name in ("observation", "final"):
            for key, space in parts_of(self.observation_space).items():
                arrays[name, key] = self._shared(space)
        return arrays

    def _shared(self, space: spaces.Space[Any]) -> tuple[tuple[int, ...], np.dtype[Any]]:
        if space.shape is None or space.dtype is None or space.dtype == object:
            raise InvalidOptionError(
                f"{type(space).__name__} spaces can't be shared by processes; they share arrays "
                "of a fixed shape, and Dict observations of such arrays"
            )
        return (self.num_envs, *space.shape), space.dtype


def parts_of(space: spaces.Space[Any]) -> Mapping[str, spaces.Space[Any]]:
    """The subspaces of a Dict by key; any other space by ""."""
    return space.spaces if isinstance(space, spaces.Dict) else {"": space}


def _padded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return -(-math.prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
