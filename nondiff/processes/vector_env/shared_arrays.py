"""What the processes of a vector environment share: arrays with a row for each environment."""

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

ALIGNMENT = 64  # bytes, so that no two arrays share a cache line
Parts = dict[str, NDArray[Any]]  # of observations; the one key is "" where they are no Dict


@dataclass(frozen=True)
class Rows:
    """The arrays, each (num_envs, ...).

    Attributes:
        action: what each environment is to do next.
        reward: of the last step, float64.
        terminated: whether that ended the episode.
        truncated: whether that cut it off.
        observation: the present ones, which begin an episode where one has ended.
        final: the last ones of episodes that have ended, until the next one ends.
    """

    action: NDArray[Any]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    observation: Parts
    final: Parts


@dataclass(frozen=True)
class Layout:
    """Where the arrays lie in the memory.

    Args:
        num_envs: environments.
        observation_space: of one of them.
        action_space: of one of them.

    Raises:
        InvalidOptionError: from all methods, the space of a part has no fixed shape and dtype.
    """

    num_envs: int
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]

    def allocate(self) -> Any:
        """Memory for the arrays, which a process can be given as it starts.

        Its file is deleted before anybody uses it, so that nothing is left whoever is killed.
        """
        size = sum(_padded(shape, dtype) for shape, dtype in self._arrays().values())
        return multiprocessing.get_context("spawn").RawArray(ctypes.c_byte, size)

    def rows(self, memory: Any) -> Rows:
        """The arrays in such memory."""
        views: dict[tuple[str, str], NDArray[Any]] = {}
        start = 0
        for name, (shape, dtype) in self._arrays().items():
            flat = np.frombuffer(memory, dtype, math.prod(shape), start)
            views[name] = flat.reshape(shape)
            start += _padded(shape, dtype)
        keys = parts_of(self.observation_space)
        return Rows(
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
                "of a fixed shape, and Dict observations of such"
            )
        return (self.num_envs, *space.shape), space.dtype


def parts_of(space: spaces.Space[Any]) -> Mapping[str, spaces.Space[Any]]:
    """The spaces of a Dict's parts by key, or the space itself by ""."""
    return space.spaces if isinstance(space, spaces.Dict) else {"": space}


def _padded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return -(-math.prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
