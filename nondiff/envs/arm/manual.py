"""The gradient of a control step, written by hand on PyBullet's own Jacobians and mass matrices.

No physics step is run. Left out are how the mass matrix changes with the angles, contacts, the
joints' end stops, and the fingers, which stay closed.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from nondiff.envs.arm import motors
from nondiff.envs.arm.robot import EE_STEP, FORCES, IK_DAMPING, JOINT_STEP, Panda
from nondiff.envs.arm.simulation import IK_ITERATIONS
from nondiff.envs.arm.state import ANGLES, ARM, JOINT_STATE, POSITION, VELOCITIES, VELOCITY
from nondiff.envs.black_box.contract import Array


def vjp(
    robot: Panda, substeps: int, state: Array, action: Array, outcome: Array, cotangent: Array
) -> tuple[Array, Array]:
    """Cotangents of states (n, 24) and actions (n, action), as `HasVjp` defines them.

    From the end effector back to the joints, from there through the motors to the joints and their
    targets at the start, and from the targets to angles and action.

    Args:
        robot: whose joints are moved about, at no consequence for a black box.
        substeps: of the control step.
        state: (n, 24).
        action: (n, action).
        outcome: (n, 24).
        cotangent: (n, 24).
    """
    parts = [_linear(robot, *row) for row in zip(state, action, strict=True)]
    targets, by_angles, by_action = map(np.array, zip(*parts, strict=True))
    start = torch.from_numpy(state[:, ANGLES]), torch.from_numpy(state[:, VELOCITIES])
    forces = torch.tensor(FORCES[:ARM], dtype=torch.float64)
    course = motors.drive(
        start, torch.from_numpy(targets), forces, partial(_inertia, robot), substeps
    )
    ends = map(torch.from_numpy, _of_joints(robot, outcome, cotangent))
    angles, velocities, moved = motors.adjoint(course, *ends)
    of_state, of_targets = np.zeros_like(state), moved.numpy()
    of_state[:, ANGLES] = angles.numpy() + np.einsum("ni,nij->nj", of_targets, by_angles)
    of_state[:, VELOCITIES] = velocities.numpy()
    return of_state, np.einsum("ni,nij->nj", of_targets, by_action)


def _inertia(robot: Panda, angles: Tensor, velocities: Tensor) -> tuple[Tensor, Tensor]:
    rows = zip(angles.tolist(), velocities.tolist(), strict=True)
    mass, torques = zip(*(robot.arm_inertia(*row) for row in rows), strict=True)
    return torch.from_numpy(np.array(mass)), torch.from_numpy(np.array(torques))


def _of_joints(robot: Panda, outcome: Array, cotangent: Array) -> tuple[Array, Array]:
    """Cotangents of the arm's angles and velocities (n, 7), what follows from them included."""
    angles, velocities = cotangent[:, ANGLES].copy(), cotangent[:, VELOCITIES].copy()
    for row, (state, by) in enumerate(zip(outcome, cotangent, strict=True)):
        jacobian = robot.jacobian(state[ANGLES].tolist())
        turning = jacobian_slopes(jacobian)[:3]
        angles[row] += by[POSITION] @ jacobian[:3]
        angles[row] += by[VELOCITY] @ (turning @ state[VELOCITIES])
        velocities[row] += by[VELOCITY] @ jacobian[:3]
    return angles, velocities


def _linear(robot: Panda, state: Array, action: Array) -> tuple[Array, Array, Array]:
    """Targets (7,), their derivatives (7, 7) and (7, action)."""
    robot.place(*state[JOINT_STATE].reshape(2, -1).tolist())
    targets = np.array(robot.targets(action)[:ARM])
    low, high = robot.arm_limits()
    inside = ((targets > low) & (targets < high))[:, None]
    if robot.ee_control:
        by_angles, by_action = _reaching(robot, state, action)
    else:
        by_angles, by_action = np.eye(ARM), JOINT_STEP * np.eye(ARM)
    by_action = by_action * (np.abs(action) <= 1)
    return targets, by_angles * inside, by_action * inside


def _reaching(robot: Panda, state: Array, action: Array) -> tuple[Array, Array]:
    """Derivatives (7, 7) and (7, 3) of inverse kinematics, iteration by iteration.

    Each adds J+ e to the angles, with J+ the damped pseudo-inverse and e the error of the pose;
    the product rule gives d(J+) e + J+ de, and de is the goal's change less J times the angles'.
    """
    angles = state[ANGLES]
    jacobian = robot.jacobian(angles.tolist())
    goal = state[POSITION] + EE_STEP * np.clip(action, -1, 1)
    moved = np.concatenate([jacobian[:3], EE_STEP * np.eye(3)], 1)
    if goal[2] < 0:
        goal[2], moved[2] = 0, 0  # the target stays on the table
    of_goal = np.concatenate([moved, np.zeros((3, ARM + 3))])  # the hand is held downwards
    slopes = np.eye(ARM, ARM + 3)
    for _ in range(IK_ITERATIONS):
        jacobian = robot.jacobian(angles.tolist())
        inverted = np.linalg.inv(jacobian @ jacobian.T + IK_DAMPING[0] * np.eye(6))
        weights = inverted @ robot.pose_error(angles.tolist(), goal.tolist())
        turned = jacobian_slopes(jacobian) @ slopes  # (6, 7, 10)
        pulled = np.einsum("xjk,x->jk", turned, weights)  # dJ' w, with w the weights
        moved = np.einsum("xjk,j->xk", turned, jacobian.T @ weights) + jacobian @ pulled
        slopes = slopes + pulled + jacobian.T @ inverted @ (of_goal - jacobian @ slopes - moved)
        angles = angles + jacobian.T @ weights
    return slopes[:, :ARM], slopes[:, ARM:]


def jacobian_slopes(jacobian: Array) -> Array:
    """Derivatives (6, joints, joints) of a Jacobian (6, joints) by the joints of its last axis.

    Of the columns J_j, linear, by q_i: z_min(i,j) x J_max(i,j); of z_j by q_i: z_i x z_j where i
    is before j (Bruyninckx and De Schutter 1996, Mechanism and Machine Theory 31(2)).
    """
    linear, z = jacobian[:3].T, jacobian[3:].T
    index = np.arange(len(z))
    first, last = np.minimum.outer(index, index), np.maximum.outer(index, index)
    by_linear = np.cross(z[first], linear[last])  # (j, i, 3)
    before = (index[None] < index[:, None])[..., None]
    by_axis = np.cross(z[None], z[:, None]) * before
    return np.concatenate([by_linear, by_axis], -1).transpose(2, 0, 1)
