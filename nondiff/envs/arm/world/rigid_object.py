"""A rigid object that the arm can move."""

from __future__ import annotations

import math

from nondiff.envs.arm.world.engine import IDENTITY, Vector, euler_angles
from nondiff.envs.arm.world.simulation import Simulation

# Maximum magnitudes in observations.
POSITION_BOUNDS = (3.0,) * 3  # [m]: the floor's edge
ANGLE_BOUNDS = (math.pi,) * 3
QUATERNION_BOUNDS = (1.0,) * 4
SPEED_BOUNDS = (10.0,) * 3 + (100.0,) * 3  # [m/s], [rad/s]


class RigidObject:
    """A free single-link body."""

    def __init__(self, simulation: Simulation, body: int) -> None:
        self._simulation = simulation
        self.body = body

    def place(self, position: Vector, orientation: Vector = IDENTITY) -> None:
        """Place it at rest at `position` (3,) [m] and a quaternion (x, y, z, w), world frame."""
        self._simulation.place(self.body, position, orientation)

    @property
    def mass(self) -> float:
        """Its mass [kg]."""
        return self._simulation.mass_and_friction(self.body)[0]

    @property
    def friction(self) -> float:
        """Its lateral friction coefficient."""
        return self._simulation.mass_and_friction(self.body)[1]

    def set_mass(self, mass: float) -> None:
        """Set its mass [kg], with its moments of inertia in proportion."""
        self._simulation.set_mass(self.body, mass)

    def set_friction(self, friction: float) -> None:
        """Set its lateral friction coefficient."""
        self._simulation.set_friction(self.body, friction)

    def position(self) -> Vector:
        """The position (3,) of its centre [m], world frame."""
        return self._simulation.pose(self.body)[0]

    def quaternion(self) -> Vector:
        """Its orientation (x, y, z, w), world frame."""
        return self._simulation.pose(self.body)[1]

    def observe(self) -> list[float]:
        """Position (3,) [m], Euler angles (3,) [rad], velocities (3,) [m/s] and (3,) [rad/s]."""
        position, quaternion, velocity, spin = self._simulation.motion(self.body)
        return [*position, *euler_angles(quaternion), *velocity, *spin]

    def observe_quaternion(self) -> list[float]:
        """The same as `observe`, with a quaternion (4,) instead of the Euler angles."""
        position, quaternion, velocity, spin = self._simulation.motion(self.body)
        return [*position, *quaternion, *velocity, *spin]


MOTION_BOUNDS = POSITION_BOUNDS + ANGLE_BOUNDS + SPEED_BOUNDS  # of `RigidObject.observe`
QUATERNION_MOTION_BOUNDS = POSITION_BOUNDS + QUATERNION_BOUNDS + SPEED_BOUNDS
