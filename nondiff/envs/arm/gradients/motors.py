"""A model of PyBullet's position controllers during a control step, and its adjoint.

In each substep a motor requests the velocity that covers a fraction of its joint's error, the gain.
The motor reaches that velocity unless this needs more than its maximum force. Strong motors would
cover 1 - (1 - gain)^n of the error in n substeps. The Panda's are weaker: under random actions the
first two are at their limit for a third to two thirds of the time. The velocities then solve a
linear complementarity problem with the mass matrix, as in Bullet's constraint solver
(btMultiBodyJointMotor.cpp; Baraff 1994, doi:10.1145/192161.192168).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nondiff.envs.arm.world.physics import Physics

MAX_PIVOTS = 10  # of the search for the motors at their limit, which usually takes two
REFRESH = 1 / 100  # [s] between mass matrices; at 1 / 500 the twin costs three times as much

Inertia = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass
class Course:
    """The record of a computed control step.

    Attributes:
        physics: the physics profile.
        angles: (n, joints) final angles [rad].
        velocities: (n, joints) final velocities [rad/s].
        sides: per substep (n, joints): 1 or -1 for a motor at its limit, else 0.
        masses: per substep (n, joints, joints): the mass matrix [kg m^2].
    """

    physics: Physics
    angles: Tensor
    velocities: Tensor
    sides: list[Tensor] = field(default_factory=list)
    masses: list[Tensor] = field(default_factory=list)


def drive(
    start: tuple[Tensor, Tensor],
    targets: Tensor,
    forces: Tensor,
    inertia: Inertia,
    physics: Physics,
) -> Course:
    """Simulate a control step towards joint targets, differentiably.

    The mass matrix and the torques are recomputed only every `REFRESH` seconds.

    Args:
        start: initial angles (n, joints) [rad] and velocities (n, joints) [rad/s].
        targets: (n, joints) [rad].
        forces: (joints,) maximum torques of the motors [N m].
        inertia: maps angles and velocities to the mass matrices (n, joints, joints) [kg m^2] and
            the torques (n, joints) [N m] that keep the velocities constant.
        physics: the physics profile.
    """
    course = Course(physics, *start)
    sides = torch.zeros_like(targets)
    impulse = forces * physics.timestep
    rate = physics.gain / physics.timestep  # [1/s]
    refresh = max(1, round(REFRESH / physics.timestep))  # [substeps]
    for substep in range(physics.substeps):
        if substep % refresh == 0:
            mass, torques = inertia(course.angles, course.velocities)
            fall = physics.timestep * torch.linalg.solve(mass, torques)
        free = course.velocities - fall
        wanted = rate * (targets - course.angles)
        with torch.no_grad():
            sides = _at_their_limit(mass, free, wanted, impulse, sides)
        course.velocities = _velocities(mass, free, wanted, impulse, sides)
        course.angles = course.angles + physics.timestep * course.velocities
        course.sides.append(sides)
        course.masses.append(mass)
    return course


def adjoint(course: Course, angles: Tensor, velocities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the cotangents (n, joints) of the initial angles, initial velocities and targets.

    Hand-written, backwards over the substeps, with constant mass matrices. With P the map from free
    to resulting velocities, v' = P v + (1 - P) rate (target - q) + constant and
    q' = q + timestep v', where rate = gain / timestep.

    Args:
        course: the result of `drive`.
        angles: (n, joints) cotangents of the final angles.
        velocities: (n, joints) cotangents of the final velocities.
    """
    targets = torch.zeros_like(angles)
    timestep = course.physics.timestep
    rate = course.physics.gain / timestep
    for sides, mass in zip(reversed(course.sides), reversed(course.masses), strict=True):
        velocities = velocities + timestep * angles
        limited = sides.abs()
        pulled = torch.linalg.solve(_limited_mass(mass, limited), velocities) * limited
        free = (mass @ pulled[..., None])[..., 0]  # P' times the cotangent
        wanted = rate * (velocities - free)
        angles, velocities, targets = angles - wanted, free, targets + wanted
    return angles, velocities, targets


def _at_their_limit(
    mass: Tensor, free: Tensor, wanted: Tensor, impulse: Tensor, guess: Tensor
) -> Tensor:
    """Find the motors at their limit (1, -1; else 0) by principal pivoting from a guess."""
    sides = guess
    for _ in range(MAX_PIVOTS):
        reached = _velocities(mass, free, wanted, impulse, sides)
        needed = (mass @ (reached - free)[..., None])[..., 0]
        too_much = needed.sign() * (needed.abs() > impulse)
        still_behind = sides * (sides * (wanted - reached) > 0)
        pivoted = torch.where(sides == 0, too_much, still_behind)
        if torch.equal(pivoted, sides):
            break
        sides = pivoted
    return sides


def _velocities(
    mass: Tensor, free: Tensor, wanted: Tensor, impulse: Tensor, sides: Tensor
) -> Tensor:
    """The requested velocities, corrected for motors that apply their maximum impulse."""
    limited = sides.abs()
    behind = (mass @ (free - wanted)[..., None])[..., 0] + sides * impulse
    lag: Tensor = torch.linalg.solve(_limited_mass(mass, limited), behind * limited)
    return wanted + lag


def _limited_mass(mass: Tensor, limited: Tensor) -> Tensor:
    """The mass matrix restricted to the limited joints, with the identity for the others."""
    both = limited[..., :, None] * limited[..., None, :]
    return both * mass + torch.diag_embed(1 - limited)
