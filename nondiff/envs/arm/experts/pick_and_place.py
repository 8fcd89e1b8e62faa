"""Expert of PickAndPlace: grasp the cube, and carry it to the goal."""

from __future__ import annotations

from typing import Any

from nondiff.envs.arm.experts.motion import Array, Seen, carry, fetch, holds


def pick_and_place(observation: dict[str, Any]) -> Array:
    """The action (4,) for an observation of PickAndPlace."""
    seen = Seen.of(observation, gripper=True)
    cube = seen.rest[:3]
    return carry(seen, cube, seen.rest[6:9], seen.goal) if holds(seen, cube) else fetch(seen, cube)
