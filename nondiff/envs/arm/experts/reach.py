"""Expert of Reach: move straight to the goal."""

from __future__ import annotations

from typing import Any

from nondiff.envs.arm.experts.motion import Array, Seen, move


def reach(observation: dict[str, Any]) -> Array:
    """The action (3,): the displacement to the goal, limited to a step."""
    seen = Seen.of(observation, gripper=False)
    return move(seen.hand, seen.goal)
