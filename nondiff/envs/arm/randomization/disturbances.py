"""Puts what was drawn for an episode in force: in the world, and on the signals to and from it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.randomization.randomization import Draw, Randomization
from nondiff.envs.arm.robots.robot import Robot
from nondiff.envs.arm.world.rigid_object import RigidObject

ACTION, OBSERVATION = 0, 1  # the signals that have noise


@dataclass(frozen=True)
class Disturbed:
    """All that an episode's disturbances depend on.

    Attributes:
        drawn: the episode's values; None: nothing is disturbed.
        late: actions that have not come yet, the next one first.
        seed: of the noise.
    """

    drawn: Draw | None = None
    late: tuple[tuple[float, ...], ...] = ()
    seed: int = 0


UNDISTURBED = Disturbed()


class Disturbances:
    """Disturbs one episode after another, and leaves nothing in the world for those without.

    PyBullet's saved states do not hold masses, frictions and damping, so these are set again
    wherever they may be others. Noise follows from the episode's seed and the number of the step,
    so that a state that is returned to is observed with the noise it had.

    Args:
        robot: its masses, damping and first pose are disturbed, and its actions.
        objects: their masses and frictions are.
    """

    def __init__(self, robot: Robot, objects: Sequence[RigidObject]) -> None:
        self._robot = robot
        self._objects = objects
        self._usual = [(thing.mass, thing.friction) for thing in objects]
        self._now = UNDISTURBED

    @property
    def state(self) -> Disturbed:
        """For `restore`."""
        return self._now

    def told(self) -> dict[str, Any]:
        """What `info` says of them: the episode's values, if there are some to be drawn."""
        drawn = self._now.drawn
        return {} if drawn is None else {"randomization": dict(drawn)}

    def begin(self, randomization: Randomization | None, rng: np.random.Generator) -> None:
        """Draw an episode's values, and set masses, frictions and damping; then reset the world.

        Args:
            randomization: from what; None: nothing is disturbed.
            rng: decides all that is random; it stays as it is, so that objects and goals, which are
                drawn from it, are those of an episode without disturbances.
        """
        if randomization is None:
            self.restore(UNDISTURBED)
            return
        seed = int(copy.deepcopy(rng).integers(2**63))
        joints = len(self._robot.model.arm_joints)
        drawn = randomization.draw(np.random.default_rng(seed), len(self._objects), joints)
        idle = (0.0,) * self._robot.action_size
        self.restore(Disturbed(drawn, (idle,) * drawn.get("latency", 0), seed))

    def restore(self, state: Disturbed) -> None:
        """Return to a state; the world is to return to its own after that."""
        if state.drawn != self._now.drawn:
            self._set_physics(state.drawn or {})
        self._now = state

    def _set_physics(self, drawn: Draw) -> None:
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
        """Put the robot where it starts, in a world that was reset."""
        if offsets := self._value("joint_offset"):
            self._robot.start_off_neutral(offsets)

    def command(self, action: Any, step: int) -> Any:
        """What comes of an action, with its noise, or of an earlier one that was late.

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
        """Add noise to what is observed of the robot's and the objects' state."""
        if deviation := self._value("observation_noise"):
            state += np.float32(deviation) * self._noise(OBSERVATION, step, len(state))

    def _value(self, name: str) -> Any:
        return (self._now.drawn or {}).get(name)

    def _noise(self, signal: int, step: int, size: int) -> NDArray[np.float32]:
        rng = np.random.default_rng([self._now.seed, step, signal])
        return rng.standard_normal(size, np.float32)
