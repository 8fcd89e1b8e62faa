"""The base class of tasks that move one object to a goal position."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.tasks.task import Task, euclidean, on_the_table
from nondiff.envs.arm.world.rigid_object import MOTION_BOUNDS, POSITION_BOUNDS
from nondiff.envs.arm.world.scene import Scene
from nondiff.envs.arm.world.shapes import Shape, cube

OBJECT_MASS = 1.0  # [kg]
CUBE_SIZE = 0.04  # [m]
CUBE_MARKER = 0.65 * CUBE_SIZE  # [m] radius of a marker, visible around a cube at the goal


class OneObject(Task):
    """Move the centre of an object to a goal (3,) [m], world frame."""

    threshold = 0.05  # [m]
    observation_bounds = MOTION_BOUNDS
    goal_bounds = POSITION_BOUNDS
    shape: ClassVar[Shape]
    start_height: ClassVar[float]  # [m] of its centre
    friction: ClassVar[float | None] = None  # see `Scene.add_object`
    marker_radius: ClassVar[float]  # [m]

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._object = scene.add_object(self.shape, OBJECT_MASS, friction=self.friction)
        self._marker = scene.add_goal_marker(self.marker_radius)

    def reset(self, rng: np.random.Generator) -> None:
        self._object.place(on_the_table(rng, self.start_height))

    def show_goal(self, goal: NDArray[np.float32]) -> None:
        self._scene.place_ghost(self._marker, goal.tolist())

    def observe(self) -> list[float]:
        return self._object.observe()

    def achieved_goal(self, robot_observation: list[float]) -> list[float]:
        return list(self._object.position())

    def distance(
        self, achieved: NDArray[np.float32], desired: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return euclidean(achieved, desired)


class OneCube(OneObject):
    """Move a cube to a goal (3,) [m], world frame."""

    shape = cube(CUBE_SIZE)
    start_height = CUBE_SIZE / 2
    marker_radius = CUBE_MARKER
