"""A body with joints: kinematics, dynamics and motors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.world.engine import Vector, bullet, rotation_matrix

IK_ITERATIONS = 4  # of inverse kinematics


class Articulation:
    """The links and joints of a body, indexed as in PyBullet.

    Args:
        client: PyBullet's id of the world.
        body: PyBullet's id of the body.
        gain: position gain of its motors; see `Physics`.
    """

    def __init__(self, client: int, body: int, gain: float) -> None:
        self._client = client
        self.body = body
        self._gain = gain

    def set_friction(self, link: int, lateral: float, spinning: float) -> None:
        """Set the lateral and the spinning friction coefficient of a link."""
        bullet.changeDynamics(
            self.body,
            link,
            lateralFriction=lateral,
            spinningFriction=spinning,
            physicsClientId=self._client,
        )

    def set_mass(self, link: int, mass: float) -> None:
        """Set a link's mass [kg]; its moments of inertia follow from its shape and the mass."""
        bullet.changeDynamics(self.body, link, mass=mass, physicsClientId=self._client)

    def joint_damping(self, joints: Sequence[int]) -> list[float]:
        """The viscous damping of joints in the URDF [N m s/rad; N s/m]."""
        return [bullet.getJointInfo(self.body, joint, self._client)[6] for joint in joints]

    def set_damping(self, joint: int, damping: float) -> None:
        """Set a joint's viscous damping [N m s/rad; N s/m]."""
        bullet.changeDynamics(self.body, joint, jointDamping=damping, physicsClientId=self._client)

    def place_joints(
        self, joints: Sequence[int], angles: Vector, velocities: Vector | None = None
    ) -> None:
        """Set joint positions [rad or m] and velocities [rad/s or m/s]; None: at rest."""
        moving = [0.0] * len(joints) if velocities is None else velocities
        for joint, angle, velocity in zip(joints, angles, moving, strict=True):
            bullet.resetJointState(self.body, joint, angle, velocity, self._client)

    def movable_joints(self) -> tuple[int, ...]:
        """The indices of the joints that are not fixed."""
        joints = range(bullet.getNumJoints(self.body, self._client))
        rows = [bullet.getJointInfo(self.body, joint, self._client) for joint in joints]
        return tuple(row[0] for row in rows if row[2] != bullet.JOINT_FIXED)

    def joint_limits(self, joints: Sequence[int]) -> list[tuple[float, float]]:
        """The (lower, upper) limit of each joint [rad or m]."""
        rows = [bullet.getJointInfo(self.body, joint, self._client) for joint in joints]
        return [(row[8], row[9]) for row in rows]

    def joint_positions(self, joints: Sequence[int]) -> list[float]:
        """Positions of joints [rad or m]."""
        return [state[0] for state in bullet.getJointStates(self.body, joints, self._client)]

    def joint_velocities(self, joints: Sequence[int]) -> list[float]:
        """Velocities of joints [rad/s or m/s]."""
        return [state[1] for state in bullet.getJointStates(self.body, joints, self._client)]

    def link_inertias(self) -> list[tuple[float, Vector, Vector]]:
        """For each link: mass [kg], principal moments (3,) [kg m^2], centre (3,) [m], link frame.

        PyBullet computes the moments from the collision shape instead of reading the URDF's.
        """
        links = range(bullet.getNumJoints(self.body, self._client))
        rows = [bullet.getDynamicsInfo(self.body, link, self._client) for link in links]
        return [(row[0], row[2], row[3]) for row in rows]

    def jacobian(self, link: int, angles: Vector) -> NDArray[np.float64]:
        """The geometric Jacobian (6, joints) of a link, linear above angular, world frame.

        `angles` has one entry per movable joint; the world is not changed.
        """
        still = [0.0] * len(angles)
        parts = bullet.calculateJacobian(
            self.body, link, (0.0, 0.0, 0.0), angles, still, still, self._client
        )
        return np.array(parts).reshape(6, len(angles))

    def joint_inertia(
        self, angles: Vector, velocities: Vector
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The mass matrix (joints, joints) [kg m^2], and the bias forces (joints,) [N m].

        The bias forces hold the joint velocities against gravity and velocity-dependent forces.
        Both have one row per movable joint; the world is not changed.
        """
        still = [0.0] * len(angles)
        mass = bullet.calculateMassMatrix(self.body, angles, physicsClientId=self._client)
        forces = bullet.calculateInverseDynamics(
            self.body, angles, velocities, still, physicsClientId=self._client
        )
        return np.array(mass), np.array(forces)

    def link_motion(self, link: int, along: float = 0.0) -> tuple[Vector, Vector]:
        """Current position (3,) [m] and velocity (3,) [m/s] of a link, world frame.

        They are those of the point at `along` [m] on the link's z axis.
        """
        # Otherwise PyBullet returns the position one substep ago.
        state = bullet.getLinkState(self.body, link, 1, 1, self._client)
        if along == 0 and not any(state[2]):  # the centre of mass is at the origin
            return state[4], state[6]
        point = state[4] + along * rotation_matrix(state[5])[:, 2]
        velocity = state[6] + np.cross(state[7], point - state[0])  # state[6] is the centre's
        return point.tolist(), velocity.tolist()

    def link_pose(self, link: int) -> tuple[Vector, NDArray[np.float64]]:
        """Position (3,) [m] and rotation (3, 3) of a link, world frame."""
        state = bullet.getLinkState(self.body, link, 0, 1, self._client)
        return state[4], rotation_matrix(state[5])

    def inverse_kinematics(
        self, link: int, position: Vector, orientation: Vector, damping: Vector
    ) -> list[float]:
        """Solve inverse kinematics by damped least squares from the current angles.

        `damping` has one entry per movable joint. At 0.001, `IK_ITERATIONS` leave an error of about
        0.001 mm for a reachable move of `EE_STEP`; PyBullet's defaults leave about 7 mm.
        """
        return bullet.calculateInverseKinematics(  # type: ignore[no-any-return]
            self.body,
            link,
            position,
            orientation,
            jointDamping=damping,
            maxNumIterations=IK_ITERATIONS,
            physicsClientId=self._client,
        )

    def drive_joints(self, joints: Sequence[int], targets: Vector, forces: Vector) -> None:
        """Set the position controllers' targets [rad or m] and maximum forces [N m or N]."""
        bullet.setJointMotorControlArray(
            self.body,
            joints,
            bullet.POSITION_CONTROL,
            targetPositions=targets,
            forces=forces,
            positionGains=[self._gain] * len(joints),
            physicsClientId=self._client,
        )
