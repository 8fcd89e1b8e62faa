"""Apply the sampled domain randomization: to the world, to actions and to observations."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.randomization.randomization import Randomization, Sample
from nondiff.envs.arm.robots.robot import Robot
from nondiff.envs.arm.world.rigid_object import RigidObject

ACTION, OBSERVATION = 0, 1  # the noisy signals


@dataclass(frozen=True)
class Disturbed:
    """The state of an episode's domain randomization.

    Attributes:
        drawn: the sampled values; None: no randomization.
        late: actions delayed by latency, the next one first.
        seed: seed of the noise.
    """

    drawn: Sample | None = None
    late: tuple[tuple[float, ...], ...] = ()
    seed: int = 0


UNDISTURBED = Disturbed()


class Disturbances:
    """Applies domain randomization to one episode after another, and undoes it without any.

    PyBullet's saved states do not include masses, frictions and damping, so these are set again
    whenever they may differ. Noise depends on the episode's seed and the step number, so that a
    restored state is observed with the same noise.

    Args:
        robot: its masses, damping, initial pose and actions are randomized.
        objects: their masses and frictions are randomized.
    """

    def __init__(self, robot: Robot, objects: Sequence[RigidObject]) -> None:
        self._robot = robot
        self._objects = objects
        self._usual = [(thing.mass, thing.friction) for thing in objects]
        self._now = UNDISTURBED

    @property
    def state(self) -> Disturbed:
        """The current state, for `restore`."""
        return self._now

    def told(self) -> dict[str, Any]:
        """The entries of `info`: the sampled values; empty without randomization."""
        drawn = self._now.drawn
        return {} if drawn is None else {"randomization": dict(drawn)}

    def begin(self, randomization: Randomization | None, rng: np.random.Generator) -> None:
        """Sample an episode's values, and apply masses, frictions and damping.

        The world must be reset afterwards.

        Args:
            randomization: the ranges to sample from; None: no randomization.
            rng: determines the values. Its state is left unchanged, so that objects and goals,
                sampled from it later, are the same as without randomization.
        """
        if randomization is None:
            self.restore(UNDISTURBED)
            return
        seed = int(copy.deepcopy(rng).integers(2**63))
        joints = len(self._robot.model.arm_joints)
        drawn = randomization.sample(np.random.default_rng(seed), len(self._objects), joints)
        idle = (0.0,) * self._robot.action_size
        self.restore(Disturbed(drawn, (idle,) * drawn.get("latency", 0), seed))

    def restore(self, state: Disturbed) -> None:
        """Restore a state; the world's state must be restored afterwards."""
        if state.drawn != self._now.drawn:
            self._apply_physics(state.drawn or {})
        self._now = state

    def _apply_physics(self, drawn: Sample) -> None:
        ones = (1.0,) * len(self._objects)
        rows = zip(
            self._objects,
            self._usual,
            drawn.get("object_mass", ones),
            drawn.get("object_friction", ones),
            strict=True,
        )
        for thing, (mass, friction), mass_factor, friction_factor in rows:
            thing.set_mass(mass * mass_factor)
            thing.set_friction(friction * friction_factor)
        self._robot.scale_masses(drawn.get("robot_mass", 1.0))
        self._robot.set_damping(drawn.get("joint_damping"))

    def pose(self) -> None:
        """Apply the joint offsets to the robot, after a reset of the world."""
        if offsets := self._value("joint_offset"):
            self._robot.start_off_neutral(offsets)

    def command(self, action: Any, step: int) -> Any:
        """Apply noise and latency: returns the command to execute for an action.

        Raises:
            InvalidActionError: see `Robot.apply`.
        """
        now = self._now
        if now.drawn is None:
            return action
        command = self._robot.checked(action)
        if deviation := self._value("action_noise"):
            noise = deviation * self._noise(ACTION, step, len(command))
            command = np.clip(command + noise, -1, 1).tolist()
        if not now.late:
            return command
        first, *rest = (*now.late, tuple(command))
        self._now = replace(now, late=tuple(rest))
        return first

    def sense(self, state: NDArray[np.float32], step: int) -> None:
        """Add noise in place to the observed state of the robot and the objects."""
        if deviation := self._value("observation_noise"):
            state += np.float32(deviation) * self._noise(OBSERVATION, step, len(state))

    def _value(self, name: str) -> Any:
        return (self._now.drawn or {}).get(name)

    def _noise(self, signal: int, step: int, size: int) -> NDArray[np.float32]:
        rng = np.random.default_rng([self._now.seed, step, signal])
        return rng.standard_normal(size, np.float32)
