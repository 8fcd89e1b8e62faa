"""What `PlainAction` makes of whole numbers."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import nondiff


class Whole(gymnasium.Env[Any, Any]):
    """Notes the action it is given."""

    observation_space = spaces.Box(-1, 1, (1,))

    def __init__(self, space: spaces.Box) -> None:
        self.action_space = space
        self.given: Any = None

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.given = action
        return np.zeros(1, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(0, 5, np.int64), (-3, 3, np.int8), (0, 255, np.uint8), (0, 1, np.int32)],
)
def test_whole_numbers_have_equal_shares_of_minus_one_to_one(
    low: int, high: int, dtype: Any
) -> None:
    inner = Whole(spaces.Box(low, high, (2,), dtype))
    env = nondiff.PlainAction(inner)
    assert env.action_space == spaces.Box(-1.0, 1.0, (2,), np.float32)
    count = high - low + 1
    middles = (np.arange(count) + 0.5) / count * 2 - 1
    seen = []
    for middle in [-2.0, -1.0, *middles, 1.0, 2.0]:
        env.step(np.full(2, middle, np.float32))
        assert inner.given in inner.action_space
        seen.append(int(inner.given[0]))
    assert seen == [low, low, *range(low, high + 1), high, high]
