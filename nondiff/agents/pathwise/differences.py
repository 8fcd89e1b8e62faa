"""A black box with a Jacobian by differences, for what needs one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nondiff.black_box import BlackBox

Array = NDArray[np.float64]
STEP = 1e-3  # of an action, whose Box is [-1, 1] wide; away from the bound where there is no room


class WithDifferences:
    """The same black box, with one-sided differences as its Jacobian.

    Args:
        box: one of one step without a state, with `residual`.

    Attributes:
        jacobian_cost: calls that a Jacobian takes, one for each entry of an action.
    """

    def __init__(self, box: BlackBox) -> None:
        self._box = box
        self.jacobian_cost = int(np.prod(box.action_space.shape))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._box, name)

    def residual(self, outcome: Tensor, context: Tensor) -> Tensor:
        """That of the black box."""
        found: Tensor = self._box.residual(outcome, context)  # type: ignore[attr-defined]
        return found

    def jacobian(self, state: Array, action: Array, outcome: Array) -> Array:
        """The slopes (n, outcome, action); NaN where a call failed."""
        n, width = action.shape
        steps = np.where(action + STEP > self._box.action_space.high, -STEP, STEP)
        moved = np.repeat(action[:, None], width, axis=1)  # (n, width, action)
        moved[:, range(width), range(width)] += steps
        found = self._box.transition(np.repeat(state, width, axis=0), moved.reshape(-1, width))
        slopes = (found.reshape(n, width, -1) - outcome[:, None]) / steps[..., None]
        return slopes.transpose(0, 2, 1)
