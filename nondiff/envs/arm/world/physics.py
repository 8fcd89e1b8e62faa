"""THE table of physics profiles: the time step and the solver settings of a control step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nondiff.errors import InvalidOptionError

ProfileName = Literal["default", "fast"]


@dataclass(frozen=True)
class Physics:
    """A physics profile: PyBullet's settings of a control step.

    Args:
        substeps: physics steps per control step.
        timestep: duration of a physics step [s].
        solver_iterations: maximum iterations of the constraint solver per physics step.
        gain: fraction of a joint's error that its motor covers per physics step.
    """

    substeps: int
    timestep: float
    solver_iterations: int
    gain: float

    @property
    def control_step(self) -> float:
        """The duration of a control step [s]."""
        return self.substeps * self.timestep


DEFAULT = Physics(20, 1 / 500, 50, 0.1)  # that of panda-gym 3.0.7
PROFILES: dict[str, Physics] = {
    "default": DEFAULT,
    "fast": Physics(
        5, 1 / 125, 20, 1 - (1 - DEFAULT.gain) ** 4
    ),  # covers the same fraction of the error per control step
}


def find_profile(name: str) -> Physics:
    """Look up a profile by name.

    Raises:
        InvalidOptionError: there is no profile of that name.
    """
    if name not in PROFILES:
        raise InvalidOptionError(f"physics {name!r} is unknown; choose from {', '.join(PROFILES)}")
    return PROFILES[name]
