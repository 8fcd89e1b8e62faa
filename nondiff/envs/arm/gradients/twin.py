"""A control step of the arm in torch: kinematics, inverse kinematics, dynamics and motors."""

from __future__ import annotations

import torch
from torch import Tensor

from nondiff.envs.arm.gradients import motors
from nondiff.envs.arm.gradients.kinematics import Chain
from nondiff.envs.arm.gradients.state import ANGLES, ARM, JOINTS, VELOCITIES
from nondiff.envs.arm.robots.panda import PANDA, TIP
from nondiff.envs.arm.robots.robot import EE_STEP, IK_DAMPING, JOINT_STEP, Robot
from nondiff.envs.arm.world.articulation import IK_ITERATIONS
from nondiff.envs.arm.world.engine import model_path, rotation_matrix
from nondiff.envs.arm.world.physics import Physics


class Twin:
    """The arm's motion in torch, from its URDF, masses and motors.

    It neglects contacts, the joints' end stops, and the fingers, which stay closed. Without contact
    it is within a few tenths of a millimetre of PyBullet after a step, and within a millimetre with
    fast physics. There are three causes: mass matrices are recomputed only every few substeps;
    PyBullet's solver stops before convergence; and its links are slightly damped. Without these,
    nine steps in ten agree to two micrometres.

    Args:
        robot: a Panda, which provides limits and masses.
        physics: the physics profile.
    """

    def __init__(self, robot: Robot, physics: Physics) -> None:
        self._physics = physics
        self._ee_control = robot.ee_control
        self._chain = Chain(model_path(PANDA.urdf), TIP, PANDA.base_position)
        self._limits = torch.from_numpy(robot.arm_limits())
        self._forces = torch.tensor(PANDA.forces[:ARM], dtype=torch.float64)
        parts = zip(*robot.link_inertias(), strict=True)
        self._masses = [torch.tensor(part, dtype=torch.float64) for part in parts]

    def outcome(self, state: Tensor, action: Tensor) -> Tensor:
        """Compute the next states (n, 24) from states (n, 24) and actions (n, action)."""
        start = state[:, ANGLES], state[:, VELOCITIES]
        targets = self.targets(start[0], action)
        course = motors.drive(start, targets, self._forces, self._inertia, self._physics)
        poses = self._chain.poses(course.angles)
        position, _ = self._chain.tip_pose(poses)
        linear = self._chain.jacobian(poses)[:, :3]
        velocity = (linear @ course.velocities[..., None])[..., 0]
        closed = torch.zeros_like(state[:, : JOINTS - ARM])
        joints = course.angles, closed, course.velocities, closed
        return torch.cat([*joints, position, velocity], 1)

    def targets(self, angles: Tensor, action: Tensor) -> Tensor:
        """Compute the joint targets (n, 7) [rad] of actions at angles (n, 7) [rad]."""
        command = action.clamp(-1, 1)
        if self._ee_control:
            position, _ = self._chain.tip_pose(self._chain.poses(angles))
            goal = position + EE_STEP * command
            goal = torch.cat([goal[:, :2], goal[:, 2:].clamp(min=0)], 1)
            down = torch.from_numpy(rotation_matrix(PANDA.downwards))
            targets = self._chain.reach(angles, goal, down, IK_DAMPING, IK_ITERATIONS)
        else:
            targets = angles + JOINT_STEP * command
        return targets.clamp(*self._limits)

    def _inertia(self, angles: Tensor, velocities: Tensor) -> tuple[Tensor, Tensor]:
        return self._chain.inertia(self._chain.poses(angles), velocities, *self._masses)
