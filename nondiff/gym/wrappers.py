"""Wrappers, named by `--wrapper`, for environments whose spaces a strategy does not support."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from nondiff.errors import InvalidOptionError

Env = gymnasium.Env[Any, Any]


class PlainAction(gymnasium.ActionWrapper[Any, Any, Any]):
    """Converts an action space to a form that every strategy for its kind supports.

    An integer Box becomes a real one from -1 to 1, divided into equal shares; discrete choices
    start at 0; multi-dimensional choices are flattened; an unbounded Box gets bounds.

    Args:
        env: an environment with Box, Discrete, MultiDiscrete or MultiBinary actions.
        low: lower bound of the entries that have none.
        high: upper bound of the entries that have none.

    Raises:
        InvalidOptionError: another kind of space, or an unbounded Box without `low` and `high`.
    """

    def __init__(self, env: Env, low: float | None = None, high: float | None = None) -> None:
        super().__init__(env)
        self._space: Any = env.action_space
        self.action_space = plain = _plain(self._space, low, high)
        if isinstance(plain, spaces.Box) and not _is_real(self._space):
            self._low, self._high = plain.low.astype(float), plain.high.astype(float)
            self.action_space = spaces.Box(-1.0, 1.0, plain.shape, np.float32)

    def action(self, action: Any) -> Any:
        """Convert an action of the plain space to one of the environment's space."""
        space = self._space
        if isinstance(space, spaces.Discrete):
            return type(space.start)(action + space.start)
        if isinstance(space, spaces.MultiDiscrete):
            return (np.reshape(action, space.shape) + space.start).astype(space.dtype)
        if isinstance(space, spaces.MultiBinary):
            return np.reshape(action, space.shape).astype(space.dtype)
        values = np.clip(action, self.action_space.low, self.action_space.high)  # type: ignore[attr-defined]
        if not _is_real(space):
            values = _whole(values, self._low, self._high)
        return values.reshape(space.shape).astype(space.dtype)


def _plain(space: spaces.Space[Any], low: float | None, high: float | None) -> spaces.Space[Any]:
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(space.nvec.ravel())
    if isinstance(space, spaces.MultiBinary):
        return spaces.MultiBinary(int(np.prod(space.shape)))
    if not isinstance(space, spaces.Box):
        raise InvalidOptionError(
            f"PlainAction is for Box, Discrete, MultiDiscrete and MultiBinary actions, not {space}"
        )
    least = np.where(space.bounded_below, space.low, np.nan if low is None else low).ravel()
    largest = np.where(space.bounded_above, space.high, np.nan if high is None else high).ravel()
    if np.isnan(least).any() or np.isnan(largest).any():
        raise InvalidOptionError(
            f"PlainAction needs low and high for {space}, as in PlainAction,low=-1,high=1"
        )
    if not (least < largest).all():
        raise InvalidOptionError(f"PlainAction: low is not below high in every entry of {space}")
    return spaces.Box(least.astype(np.float32), largest.astype(np.float32), dtype=np.float32)


def _is_real(space: Any) -> bool:
    return np.issubdtype(space.dtype, np.floating)


def _whole(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Map values in [-1, 1] to whole numbers from `low` to `high`, in equal shares."""
    shares = (values.astype(float) + 1) / 2 * (high - low + 1)
    whole: np.ndarray = np.clip(low + np.floor(shares), low, high)
    return whole
