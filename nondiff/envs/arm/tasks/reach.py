"""PandaReach and KukaReach: move the end effector to a goal in the air."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.tasks.task import Task, euclidean
from nondiff.envs.arm.world.scene import Scene

GOAL_LOW = np.array([-0.15, -0.15, 0.0])  # [m], world frame
GOAL_HIGH = np.array([0.15, 0.15, 0.3])  # [m]


class Reach(Task):
    """Reach a goal (3,) [m], world frame, uniform in a 0.3 m cube, as in panda-gym 3.0.7."""

    arm_only = True
    gripper = False
    threshold = 0.05  # [m]
    observation_bounds = ()
    goal_bounds = (2.0,) * 3  # [m] beyond the arm's reach

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._marker = scene.add_goal_marker()

    def reset(self, rng: np.random.Generator) -> None:
        """Nothing to place."""

    def sample_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        goal: NDArray[np.float64] = GOAL_LOW + (GOAL_HIGH - GOAL_LOW) * rng.random(3)
        return goal.astype(np.float32)

    def show_goal(self, goal: NDArray[np.float32]) -> None:
        self._scene.place_ghost(self._marker, goal.tolist())

    def observe(self) -> list[float]:
        return []

    def achieved_goal(self, robot_observation: list[float]) -> list[float]:
        return robot_observation[:3]

    def distance(
        self, achieved: NDArray[np.float32], desired: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return euclidean(achieved, desired)
