"""The hand-written gradient of a control step, from PyBullet's Jacobians and mass matrices.

It runs no physics step. It neglects the derivative of the mass matrix, contacts, the joints' end
stops, and the fingers, which stay closed.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from nondiff.black_box.contract import Array
from nondiff.envs.arm.gradients import motors
from nondiff.envs.arm.gradients.state import (
    ANGLES,
    ARM,
    JOINT_STATE,
    POSITION,
    VELOCITIES,
    VELOCITY,
)
from nondiff.envs.arm.robots.panda import PANDA
from nondiff.envs.arm.robots.robot import EE_STEP, IK_DAMPING, JOINT_STEP, Robot
from nondiff.envs.arm.world.articulation import IK_ITERATIONS
from nondiff.envs.arm.world.physics import Physics


def vjp(
    robot: Robot, physics: Physics, state: Array, action: Array, outcome: Array, cotangent: Array
) -> tuple[Array, Array]:
    """Compute cotangents of states (n, 24) and actions (n, action), as `HasVjp` defines them.

    Backwards from the end effector to the final joint angles, through the motors to the initial
    joint angles and the joint targets, and from the targets to the angles and the action.

    Args:
        robot: a Panda; its joints are moved in the process.
        physics: the physics profile.
        state: (n, 24).
        action: (n, action).
        outcome: (n, 24).
        cotangent: (n, 24).
    """
    targets, by_angles, by_action = _targets(robot, state, action)
    start = torch.from_numpy(state[:, ANGLES]), torch.from_numpy(state[:, VELOCITIES])
    forces = torch.tensor(PANDA.forces[:ARM], dtype=torch.float64)
    course = motors.drive(
        start, torch.from_numpy(targets), forces, partial(_inertia, robot), physics
    )
    ends = map(torch.from_numpy, _of_joints(robot, outcome, cotangent))
    angles, velocities, moved = motors.adjoint(course, *ends)
    of_state, of_targets = np.zeros_like(state), moved.numpy()
    of_state[:, ANGLES] = angles.numpy() + np.einsum("ni,nij->nj", of_targets, by_angles)
    of_state[:, VELOCITIES] = velocities.numpy()
    return of_state, np.einsum("ni,nij->nj", of_targets, by_action)


def _inertia(robot: Robot, angles: Tensor, velocities: Tensor) -> tuple[Tensor, Tensor]:
    rows = zip(angles.tolist(), velocities.tolist(), strict=True)
    parts = [np.concatenate([m, t[:, None]], 1) for m, t in (robot.arm_inertia(*r) for r in rows)]
    both = torch.from_numpy(np.array(parts).reshape(-1, ARM, ARM + 1))
    return both[..., :ARM], both[..., ARM]


def _jacobians(robot: Robot, angles: Array) -> Array:
    """Jacobians (n, 6, 7) of the end effector."""
    rows = [robot.jacobian(row) for row in angles.tolist()]
    return np.array(rows).reshape(-1, 6, ARM)


def _of_joints(robot: Robot, outcome: Array, cotangent: Array) -> tuple[Array, Array]:
    """Cotangents (n, 7) of final angles and velocities, including those via the end effector."""
    jacobian = _jacobians(robot, outcome[:, ANGLES])
    turning = np.einsum("nxji,nj->nxi", jacobian_slopes(jacobian)[:, :3], outcome[:, VELOCITIES])
    linear = jacobian[:, :3]
    angles = np.einsum("nxi,nx->ni", linear, cotangent[:, POSITION])
    angles += np.einsum("nxi,nx->ni", turning, cotangent[:, VELOCITY])
    velocities = np.einsum("nxi,nx->ni", linear, cotangent[:, VELOCITY])
    return cotangent[:, ANGLES] + angles, cotangent[:, VELOCITIES] + velocities


def _targets(robot: Robot, state: Array, action: Array) -> tuple[Array, Array, Array]:
    """Joint targets (n, 7), and their derivatives by angles (n, 7, 7) and action (n, 7, action)."""
    targets = np.empty((len(state), ARM))
    for row, (joints, command) in enumerate(zip(state[:, JOINT_STATE], action, strict=True)):
        robot.place(*joints.reshape(2, -1).tolist())
        targets[row] = robot.targets(command)[:ARM]
    low, high = robot.arm_limits()
    inside = ((targets > low) & (targets < high))[..., None]
    if robot.ee_control:
        by_angles, by_action = _reaching(robot, state, action)
    else:
        by_angles, by_action = np.eye(ARM), JOINT_STEP * np.eye(ARM)
    by_action = by_action * (np.abs(action) <= 1)[:, None]
    return targets, by_angles * inside, by_action * inside


def _reaching(robot: Robot, state: Array, action: Array) -> tuple[Array, Array]:
    """Differentiate inverse kinematics by angles (n, 7, 7) and action (n, 7, 3).

    Each iteration adds J+ e to the angles, with J+ the damped pseudo-inverse and e the pose error.
    The product rule gives d(J+) e + J+ de, where de = dgoal - J dangles.
    """
    angles = state[:, ANGLES]
    goal = state[:, POSITION] + EE_STEP * np.clip(action, -1, 1)
    of_goal = np.zeros((len(state), 6, ARM + 3))  # the goal orientation is constant
    of_goal[:, :3, :ARM] = _jacobians(robot, angles)[:, :3]
    of_goal[:, :3, ARM:] = EE_STEP * np.eye(3)
    below = goal[:, 2] < 0
    goal[below, 2], of_goal[below, 2] = 0, 0  # the target stays on the table
    slopes = np.tile(np.eye(ARM, ARM + 3), (len(state), 1, 1))
    for _ in range(IK_ITERATIONS):
        jacobian = _jacobians(robot, angles)
        inverted = np.linalg.inv(jacobian @ jacobian.swapaxes(1, 2) + IK_DAMPING * np.eye(6))
        rows = zip(angles.tolist(), goal.tolist(), strict=True)
        error = np.array([robot.pose_error(*row) for row in rows]).reshape(-1, 6, 1)
        weights = inverted @ error
        step = jacobian.swapaxes(1, 2) @ weights
        turned = jacobian_slopes(jacobian) @ slopes[:, None]  # (n, 6, 7, 10)
        pulled = np.einsum("nxjk,nx->njk", turned, weights[..., 0])  # dJ' w, with w the weights
        moved = np.einsum("nxjk,nj->nxk", turned, step[..., 0]) + jacobian @ pulled
        of_error = of_goal - jacobian @ slopes - moved
        slopes = slopes + pulled + jacobian.swapaxes(1, 2) @ inverted @ of_error
        angles = angles + step[..., 0]
    return slopes[..., :ARM], slopes[..., ARM:]


def jacobian_slopes(jacobian: Array) -> Array:
    """Derivatives (n, 6, joints, joints) of Jacobians (n, 6, joints) by joint angles (last axis).

    For linear columns J_j by q_i: z_min(i,j) x J_max(i,j). For axes z_j by q_i: z_i x z_j if i < j
    (Bruyninckx and De Schutter 1996, Mechanism and Machine Theory 31(2)).
    """
    linear, z = jacobian[:, :3].swapaxes(1, 2), jacobian[:, 3:].swapaxes(1, 2)
    index = np.arange(z.shape[1])
    first, last = np.minimum.outer(index, index), np.maximum.outer(index, index)
    by_linear = np.cross(z[:, first], linear[:, last])  # (n, j, i, 3)
    before = (index[None] < index[:, None])[..., None]
    by_axis = np.cross(z[:, None], z[:, :, None]) * before
    return np.concatenate([by_linear, by_axis], -1).transpose(0, 3, 1, 2)
