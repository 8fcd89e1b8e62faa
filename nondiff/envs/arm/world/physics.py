"""THE table of physics profiles: how finely PyBullet computes a control step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nondiff.errors import InvalidOptionError

ProfileName = Literal["default", "fast"]


@dataclass(frozen=True)
class Physics:
    """A control step in PyBullet's terms.

    Args:
        substeps: physics steps a control step.
        timestep: of each [s].
        solver_iterations: of the constraint solver in each, at most.
        gain: share of its joint's error that a motor covers in each.
    """

    substeps: int
    timestep: float
    solver_iterations: int
    gain: float

    @property
    def control_step(self) -> float:
        """[s]."""
        return self.substeps * self.timestep


DEFAULT = Physics(20, 1 / 500, 50, 0.1)  # that of panda-gym 3.0.7
PROFILES: dict[str, Physics] = {
    "default": DEFAULT,
    "fast": Physics(
        5, 1 / 125, 20, 1 - (1 - DEFAULT.gain) ** 4
    ),  # as much of an error a control step
}


def find_profile(name: str) -> Physics:
    """A profile by its name.

    Raises:
        InvalidOptionError: there is none of that name.
    """
    if name not in PROFILES:
        raise InvalidOptionError(f"physics {name!r} is unknown; choose from {', '.join(PROFILES)}")
    return PROFILES[name]
