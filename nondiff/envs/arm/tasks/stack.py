"""PandaStack: put one cube at a goal on the table, and another on top of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.tasks.one_object import CUBE_MARKER, CUBE_SIZE
from nondiff.envs.arm.tasks.task import Task, euclidean, on_the_table
from nondiff.envs.arm.world.rigid_object import MOTION_BOUNDS, POSITION_BOUNDS
from nondiff.envs.arm.world.scene import FIRST_COLOUR, SECOND_COLOUR, Scene
from nondiff.envs.arm.world.shapes import cube

MASSES = (2.0, 1.0)  # [kg] of the lower and of the upper cube
HEIGHTS = (CUBE_SIZE / 2, 3 * CUBE_SIZE / 2)  # [m] of their centres, at the start and when stacked
APART = 0.1  # [m] minimum distance of their centres at the start: open fingers fit between
HORIZON = 100  # control steps


class Stack(Task):
    """Stack two cubes at a goal (6,) [m], world frame: the lower cube, then the upper one.

    As in panda-gym 3.0.7, the distance is Euclidean in all six coordinates, and the upper cube
    starts at its height in the stack and falls; unlike there, it never falls onto the other.
    """

    gripper = True
    threshold = 0.1  # [m]
    observation_bounds = MOTION_BOUNDS * 2
    goal_bounds = POSITION_BOUNDS * 2

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        colours = (FIRST_COLOUR, SECOND_COLOUR)
        self._cubes = [
            scene.add_object(cube(CUBE_SIZE), mass, colour)
            for mass, colour in zip(MASSES, colours, strict=True)
        ]
        self._markers = [scene.add_goal_marker(CUBE_MARKER) for _ in MASSES]

    def reset(self, rng: np.random.Generator) -> None:
        while True:
            lower, upper = [on_the_table(rng, height) for height in HEIGHTS]
            if math.dist(lower[:2], upper[:2]) >= APART:
                break
        for one, place in zip(self._cubes, (lower, upper), strict=True):
            one.place(place)

    def sample_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        lower = on_the_table(rng, HEIGHTS[0])
        return np.array([*lower, *lower[:2], HEIGHTS[1]], np.float32)

    def show_goal(self, goal: NDArray[np.float32]) -> None:
        for marker, place in zip(self._markers, goal.reshape(2, 3).tolist(), strict=True):
            self._scene.place_ghost(marker, place)

    def observe(self) -> list[float]:
        return [value for one in self._cubes for value in one.observe()]

    def achieved_goal(self, robot_observation: list[float]) -> list[float]:
        return [value for one in self._cubes for value in one.position()]

    def distance(
        self, achieved: NDArray[np.float32], desired: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return euclidean(achieved, desired)
