"""The Franka Panda: its joints, what an action means, what it reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nondiff.envs.arm.simulation import Simulation
from nondiff.envs.errors import InvalidActionError, InvalidOptionError

ControlType = Literal["ee", "joints"]
CONTROL_TYPES = ("ee", "joints")

URDF = "franka_panda/panda.urdf"
BASE_POSITION = (-0.6, 0.0, 0.0)  # [m]
ARM_JOINTS = (0, 1, 2, 3, 4, 5, 6)
FINGER_JOINTS = (9, 10)
JOINTS = ARM_JOINTS + FINGER_JOINTS
FORCES = (87.0, 87.0, 87.0, 87.0, 12.0, 120.0, 120.0, 170.0, 170.0)  # [N m], fingers [N]
TIP = "panda_grasptarget"
END_EFFECTOR = 11  # TIP's link: the point between the fingertips
NEUTRAL = (0.0, 0.41, 0.0, -1.85, 0.0, 2.26, 0.79, 0.0, 0.0)  # [rad], fingers [m]
DOWNWARDS = (1.0, 0.0, 0.0, 0.0)  # quaternion x, y, z, w of the hand
DOWNWARDS_ROTATION = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))  # the same
IK_DAMPING = (0.001,) * len(JOINTS)

EE_STEP = 0.05  # [m] an action of 1 moves the end effector's target
JOINT_STEP = 0.05  # [rad] an action of 1 moves a joint's target
FINGER_STEP = 0.2  # [m] an action of 1 changes the target opening
LARGEST_SPEED = 10.0  # [m/s] reported; the arm itself stays well below


class Panda:
    """A Franka Panda on a table, driven through position controllers.

    The end effector's (or the joints') target is its present value plus the action times a step, as
    in panda-gym 3.0.7; unlike there, inverse kinematics is converged and positions are read fresh.

    Args:
        simulation: the world to stand in.
        control_type: "ee", displacements (3,) of the end effector along world x, y, z, the hand
            held downwards; or "joints", changes (7,) of the arm's joint angles.
        gripper: whether the last action opens and closes the fingers; closed if not.

    Raises:
        InvalidOptionError: `control_type` is neither.
    """

    def __init__(self, simulation: Simulation, control_type: ControlType, gripper: bool) -> None:
        if control_type not in CONTROL_TYPES:
            raise InvalidOptionError(
                f"control_type {control_type!r} is unknown; choose from {', '.join(CONTROL_TYPES)}"
            )
        self._simulation = simulation
        self.ee_control = control_type == "ee"
        self._gripper = gripper
        self._size = (3 if self.ee_control else len(ARM_JOINTS)) + gripper
        self._body = simulation.load_robot(URDF, BASE_POSITION)
        self._limits = simulation.joint_limits(self._body, ARM_JOINTS)
        for finger in FINGER_JOINTS:
            simulation.set_friction(self._body, finger, lateral=1.0, spinning=0.001)
        simulation.place_joints(self._body, JOINTS, NEUTRAL)

    @property
    def action_space(self) -> spaces.Box:
        """[-1, 1] for displacements (3,) or joint changes (7,), then the fingers if driven."""
        return spaces.Box(-1.0, 1.0, (self._size,), np.float32)

    @property
    def observation_bounds(self) -> tuple[float, ...]:
        """The largest magnitude of each entry of `observe`: position, velocity, opening."""
        return (2.0,) * 3 + (LARGEST_SPEED,) * 3 + (0.1,) * self._gripper

    def apply(self, action: NDArray[np.floating]) -> None:
        """Set the joint targets that an action asks for; entries beyond [-1, 1] are clipped.

        Raises:
            InvalidActionError: the wrong shape, or an entry that is NaN or infinite.
        """
        self._simulation.drive_joints(self._body, JOINTS, self.targets(action), FORCES)

    def targets(self, action: NDArray[np.floating]) -> list[float]:
        """The joint targets (9,) [rad or m] that an action asks for from where the arm stands."""
        command = self._checked(action)
        arm = self._reach(command) if self.ee_control else self._turn(command)
        opening = self._opening() + FINGER_STEP * command[-1] if self._gripper else 0.0
        return [*arm, opening / 2, opening / 2]

    def _checked(self, action: NDArray[np.floating]) -> list[float]:
        try:
            values = np.asarray(action, dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidActionError(f"action {action!r} is no array of numbers") from None
        if values.shape != (self._size,):
            raise InvalidActionError(
                f"action has shape {values.shape}; this arm takes ({self._size},)"
            )
        command: list[float] = values.tolist()
        if not all(map(math.isfinite, command)):
            raise InvalidActionError(f"action {command} is not finite; entries must be in [-1, 1]")
        return [min(max(value, -1.0), 1.0) for value in command]

    def _reach(self, displacement: Sequence[float]) -> list[float]:
        x, y, z = self._simulation.link_motion(self._body, END_EFFECTOR)[0]
        dx, dy, dz = displacement[:3]
        target = (x + EE_STEP * dx, y + EE_STEP * dy, max(z + EE_STEP * dz, 0.0))
        angles = self._simulation.inverse_kinematics(
            self._body, END_EFFECTOR, target, DOWNWARDS, IK_DAMPING
        )
        return self._within_limits(angles[: len(ARM_JOINTS)])

    def _turn(self, changes: Sequence[float]) -> list[float]:
        angles = self._simulation.joint_positions(self._body, ARM_JOINTS)
        moved = [a + JOINT_STEP * change for a, change in zip(angles, changes, strict=False)]
        return self._within_limits(moved)

    def _within_limits(self, angles: Sequence[float]) -> list[float]:
        return [
            min(max(angle, low), high)
            for angle, (low, high) in zip(angles, self._limits, strict=True)
        ]

    def _opening(self) -> float:
        return sum(self._simulation.joint_positions(self._body, FINGER_JOINTS))

    def place(self, angles: Sequence[float], velocities: Sequence[float]) -> None:
        """Put the joints (9,) at angles [rad or m] and velocities [rad/s or m/s]."""
        self._simulation.place_joints(self._body, JOINTS, angles, velocities)

    def joint_state(self) -> list[float]:
        """The angles (9,) [rad or m], then the velocities (9,) [rad/s or m/s] of the joints."""
        positions = self._simulation.joint_positions(self._body, JOINTS)
        return positions + self._simulation.joint_velocities(self._body, JOINTS)

    def arm_limits(self) -> NDArray[np.float64]:
        """The lower and upper limits (2, 7) of the arm's joints [rad]."""
        return np.array(self._limits).T

    def jacobian(self, angles: Sequence[float]) -> NDArray[np.float64]:
        """The end effector's velocity (6,) [m/s, rad/s], world, a unit of arm joint speed (7,)."""
        closed = [*angles, 0.0, 0.0]
        return self._simulation.jacobian(self._body, END_EFFECTOR, closed)[:, : len(ARM_JOINTS)]

    def pose_error(self, angles: Sequence[float], goal: Sequence[float]) -> NDArray[np.float64]:
        """What the end effector at arm angles (7,) lacks to a goal (3,) [m], the hand downwards.

        A displacement (3,) [m] and a turn (3,), the axis times the sine of the angle.
        """
        self.place([*angles, 0.0, 0.0], [0.0] * len(JOINTS))
        position, rotation = self._simulation.link_pose(self._body, END_EFFECTOR)
        turn = np.array(DOWNWARDS_ROTATION) @ rotation.T
        skew = (turn - turn.T) / 2
        return np.array([*np.subtract(goal, position), skew[2, 1], skew[0, 2], skew[1, 0]])

    def arm_inertia(
        self, angles: Sequence[float], velocities: Sequence[float]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The arm's mass matrix (7, 7) [kg m^2] and the torques (7,) [N m] of gravity and speed."""
        closed, still = [*angles, 0.0, 0.0], [*velocities, 0.0, 0.0]
        mass, forces = self._simulation.joint_inertia(self._body, closed, still)
        arm = len(ARM_JOINTS)
        return mass[:arm, :arm], forces[:arm]

    def link_inertias(self) -> list[tuple[float, Sequence[float], Sequence[float]]]:
        """Masses, moments and centres of the links; see `Simulation.link_inertias`."""
        return self._simulation.link_inertias(self._body)

    def observe(self) -> list[float]:
        """End-effector position (3,) [m] and velocity (3,) [m/s]; opening [m] if driven."""
        position, velocity = self._simulation.link_motion(self._body, END_EFFECTOR)
        observation = [*position, *velocity]
        if self._gripper:
            observation.append(self._opening())
        return observation
