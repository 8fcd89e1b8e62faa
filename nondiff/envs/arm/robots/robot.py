"""A robot arm: its model, its control by actions, and its observations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nondiff.envs.arm.world.engine import rotation_matrix
from nondiff.envs.arm.world.simulation import Simulation
from nondiff.errors import InvalidActionError, InvalidOptionError

ControlType = Literal["ee", "joints"]
CONTROL_TYPES = ("ee", "joints")

EE_STEP = 0.05  # [m] move of the end effector's target by an action of 1
JOINT_STEP = 0.05  # [rad] move of a joint's target by an action of 1
FINGER_STEP = 0.2  # [m] change of the target opening by an action of 1
FINGER_FRICTION, FINGER_SPINNING_FRICTION = 1.0, 0.001
IK_DAMPING = 0.001
MAX_SPEED = 10.0  # [m/s] bound of observed speeds; the arm stays well below


@dataclass(frozen=True)
class RobotModel:
    """The parameters of a robot arm.

    Args:
        urdf: path of a URDF file, or the name of one that comes with PyBullet.
        base_position: (3,) position of the fixed base [m], world frame.
        arm_joints: PyBullet's indices of the arm's joints, in ascending order; together with the
            fingers, all movable joints.
        forces: maximum forces of the motors, of the arm joints, then the fingers [N m; N].
        neutral: initial positions of the joints, in the same order [rad; m].
        end_effector: PyBullet's index of the link that is controlled.
        downwards: quaternion (x, y, z, w) of that link with the hand pointing down, such that its
            z axis is minus the world's.
        fingers: PyBullet's indices of the two joints of a gripper, if there is one.
        tool: distance from that link to the end effector's point along the link's z axis [m].

    Raises:
        InvalidOptionError: lengths that do not match.
    """

    urdf: str
    base_position: tuple[float, float, float]
    arm_joints: tuple[int, ...]
    forces: tuple[float, ...]
    neutral: tuple[float, ...]
    end_effector: int
    downwards: tuple[float, float, float, float]
    fingers: tuple[int, ...] = ()
    tool: float = 0.0

    def __post_init__(self) -> None:
        if len(self.fingers) not in (0, 2):
            raise InvalidOptionError(f"fingers {self.fingers} are {len(self.fingers)}, not 0 or 2")
        for name in ("forces", "neutral"):
            size = len(getattr(self, name))
            if size != len(self.joints):
                raise InvalidOptionError(
                    f"{name} has {size} entries; there are {len(self.joints)} joints: "
                    f"arm {self.arm_joints} and fingers {self.fingers}"
                )

    @property
    def joints(self) -> tuple[int, ...]:
        """Indices of all joints with a motor."""
        return self.arm_joints + self.fingers


class Robot:
    """A robot arm on a table, driven by position controllers.

    The target of the end effector (or of the joints) is its current value plus the action times a
    step, as in panda-gym 3.0.7. Unlike there, inverse kinematics is converged, and positions are
    current.

    Args:
        simulation: the world.
        model: the robot model.
        control_type: "ee": displacements (3,) of the end effector along world x, y, z, with the
            hand pointing down; "joints": changes (joints,) of the arm's joint angles.
        gripper: whether the last entry of an action controls the fingers; otherwise they stay
            closed.

    Raises:
        InvalidOptionError: an unknown `control_type`; a gripper without fingers; a missing URDF, or
            one whose joints differ from the model's.
    """

    def __init__(
        self, simulation: Simulation, model: RobotModel, control_type: ControlType, gripper: bool
    ) -> None:
        if control_type not in CONTROL_TYPES:
            raise InvalidOptionError(
                f"control_type {control_type!r} is unknown; choose from {', '.join(CONTROL_TYPES)}"
            )
        if gripper and not model.fingers:
            raise InvalidOptionError(f"the task needs a gripper, and {model.urdf} has no fingers")
        self._simulation = simulation  # keeps the world open
        self.model = model
        self.ee_control = control_type == "ee"
        self._gripper = gripper
        self._arm = len(model.arm_joints)
        self._closed = [0.0] * len(model.fingers)
        self._damping = (IK_DAMPING,) * len(model.joints)
        self._size = (3 if self.ee_control else self._arm) + gripper
        self._body = simulation.load_robot(model.urdf, model.base_position)
        movable = self._body.movable_joints()
        if movable != model.joints:  # inverse kinematics returns all, in this order
            raise InvalidOptionError(
                f"the joints of {model.urdf} that move are {movable}; the model has {model.joints}"
            )
        self._limits = self._body.joint_limits(model.arm_joints)
        self._own_inertias = self._body.link_inertias()
        self._own_damping = self._body.joint_damping(model.joints)
        for finger in model.fingers:
            self._body.set_friction(finger, FINGER_FRICTION, FINGER_SPINNING_FRICTION)
        self._body.place_joints(model.joints, model.neutral)

    @property
    def action_size(self) -> int:
        """The number of entries of an action."""
        return self._size

    @property
    def action_space(self) -> spaces.Box:
        """[-1, 1] for displacements (3,) or joint changes (joints,), then the gripper, if any."""
        return spaces.Box(-1.0, 1.0, (self._size,), np.float32)

    @property
    def observation_bounds(self) -> tuple[float, ...]:
        """Maximum magnitudes of the entries of `observe`: position, velocity, opening."""
        return (2.0,) * 3 + (MAX_SPEED,) * 3 + (0.1,) * self._gripper

    def apply(self, action: NDArray[np.floating] | Sequence[float]) -> None:
        """Set the joint targets of an action; entries are clipped to [-1, 1].

        Raises:
            InvalidActionError: a wrong shape, or an entry that is NaN or infinite.
        """
        self._body.drive_joints(self.model.joints, self.targets(action), self.model.forces)

    def targets(self, action: NDArray[np.floating] | Sequence[float]) -> list[float]:
        """Compute the joint targets [rad or m] of an action from the current state."""
        command = self.checked(action)
        arm = self._reach(command) if self.ee_control else self._turn(command)
        if not self._gripper:
            return arm + self._closed
        opening = self._opening() + FINGER_STEP * command[-1]
        return [*arm, opening / 2, opening / 2]

    def checked(self, action: Any) -> list[float]:
        """Validate an action, and clip its entries to [-1, 1].

        Raises:
            InvalidActionError: see `apply`.
        """
        try:
            values = np.asarray(action, dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidActionError(f"action {action!r} is not an array of numbers") from None
        if values.shape != (self._size,):
            raise InvalidActionError(
                f"action has shape {values.shape}; this arm takes ({self._size},)"
            )
        command: list[float] = values.tolist()
        if not all(map(math.isfinite, command)):
            raise InvalidActionError(f"action {command} is not finite; entries must be in [-1, 1]")
        return [min(max(value, -1.0), 1.0) for value in command]

    def _reach(self, displacement: Sequence[float]) -> list[float]:
        x, y, z = self._tip()[0]
        dx, dy, dz = displacement[:3]
        height = (
            max(z + EE_STEP * dz, 0.0) + self.model.tool
        )  # of the link, with the tool pointing down
        target = (x + EE_STEP * dx, y + EE_STEP * dy, height)
        angles = self._body.inverse_kinematics(
            self.model.end_effector, target, self.model.downwards, self._damping
        )
        return self._within_limits(angles[: self._arm])

    def _turn(self, changes: Sequence[float]) -> list[float]:
        angles = self._body.joint_positions(self.model.arm_joints)
        moved = [a + JOINT_STEP * change for a, change in zip(angles, changes, strict=False)]
        return self._within_limits(moved)

    def _within_limits(self, angles: Sequence[float]) -> list[float]:
        return [
            min(max(angle, low), high)
            for angle, (low, high) in zip(angles, self._limits, strict=True)
        ]

    def _tip(self) -> tuple[Sequence[float], Sequence[float]]:
        return self._body.link_motion(self.model.end_effector, self.model.tool)

    def _opening(self) -> float:
        return sum(self._body.joint_positions(self.model.fingers))

    def place(self, angles: Sequence[float], velocities: Sequence[float]) -> None:
        """Set the positions [rad or m] and velocities [rad/s or m/s] of all joints."""
        self._body.place_joints(self.model.joints, angles, velocities)

    def start_off_neutral(self, offsets: Sequence[float]) -> None:
        """Set the arm joints to neutral plus offsets (joints,) [rad], at rest, within limits."""
        neutral = self.model.neutral[: self._arm]
        arm = [angle + offset for angle, offset in zip(neutral, offsets, strict=True)]
        fingers = self.model.neutral[self._arm :]
        self._body.place_joints(self.model.joints, [*self._within_limits(arm), *fingers])

    def scale_masses(self, factor: float) -> None:
        """Multiply the original mass and moments of inertia of every link by a factor."""
        for link, (mass, _, _) in enumerate(self._own_inertias):
            if mass > 0:
                self._body.set_mass(link, factor * mass)

    def set_damping(self, damping: float | None) -> None:
        """Set the viscous damping of every joint [N m s/rad; N s/m]; None: the original one."""
        for joint, own in zip(self.model.joints, self._own_damping, strict=True):
            self._body.set_damping(joint, own if damping is None else damping)

    @property
    def body(self) -> int:
        """PyBullet's id of the body."""
        return self._body.body

    def joint_angles(self) -> list[float]:
        """The positions of all joints [rad or m]."""
        return self._body.joint_positions(self.model.joints)

    def joint_state(self) -> list[float]:
        """The positions [rad or m], then the velocities [rad/s or m/s] of all joints."""
        positions = self.joint_angles()
        return positions + self._body.joint_velocities(self.model.joints)

    def arm_limits(self) -> NDArray[np.float64]:
        """The lower and upper limits (2, joints) of the arm's joints [rad]."""
        return np.array(self._limits).T

    def jacobian(self, angles: Sequence[float]) -> NDArray[np.float64]:
        """The geometric Jacobian (6, joints) of the end effector by arm joints, world frame."""
        link, closed = self.model.end_effector, [*angles, *self._closed]
        return self._body.jacobian(link, closed)[:, : self._arm]

    def pose_error(self, angles: Sequence[float], goal: Sequence[float]) -> NDArray[np.float64]:
        """The pose error (6,) of the end effector at given arm angles.

        The goal is a position (3,) [m] with the hand pointing down. The error is a displacement
        (3,) [m] and a turn (3,): the axis times the sine of the angle.
        """
        self.place([*angles, *self._closed], [0.0] * len(self.model.joints))
        position, rotation = self._body.link_pose(self.model.end_effector)
        turn = rotation_matrix(self.model.downwards) @ rotation.T
        skew = (turn - turn.T) / 2
        return np.array([*np.subtract(goal, position), skew[2, 1], skew[0, 2], skew[1, 0]])

    def arm_inertia(
        self, angles: Sequence[float], velocities: Sequence[float]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The arm's mass matrix [kg m^2] and bias torques [N m]; see `joint_inertia`."""
        closed, still = [*angles, *self._closed], [*velocities, *self._closed]
        mass, forces = self._body.joint_inertia(closed, still)
        return mass[: self._arm, : self._arm], forces[: self._arm]

    def link_inertias(self) -> list[tuple[float, Sequence[float], Sequence[float]]]:
        """Masses, moments of inertia and centres of the links; see `Articulation`."""
        return self._body.link_inertias()

    def observe(self) -> list[float]:
        """End-effector position (3,) [m] and velocity (3,) [m/s]; opening [m] with a gripper."""
        position, velocity = self._tip()
        observation = [*position, *velocity]
        if self._gripper:
            observation.append(self._opening())
        return observation
