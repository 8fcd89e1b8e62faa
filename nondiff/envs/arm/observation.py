"""Observations of the arm without pictures: their space and content."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nondiff.envs.arm.randomization.disturbances import Disturbances
from nondiff.envs.arm.robots.robot import Robot
from nondiff.envs.arm.tasks.task import Task
from nondiff.envs.arm.world.rigid_object import POSITION_BOUNDS, RigidObject

Values = NDArray[np.float32]


class Senses:
    """Reads the simulator and builds observations.

    Args:
        robot: its state comes first in `observation`.
        task: its state comes second.
        disturbances: adds observation noise.
        relative: objects whose positions relative to the end effector come third.
        goal_relative: whether the way to the goal comes last; see `ArmEnv`.
    """

    def __init__(
        self,
        robot: Robot,
        task: Task,
        disturbances: Disturbances,
        relative: list[RigidObject],
        goal_relative: bool,
    ) -> None:
        self._robot = robot
        self._task = task
        self._disturbances = disturbances
        self._relative = relative
        self._goal_relative = goal_relative
        from_hand = POSITION_BOUNDS * len(relative)
        bounds = robot.observation_bounds + task.observation_bounds + from_hand
        self._bounds = np.array(bounds, np.float32)
        self._goal_bounds = np.array(task.goal_bounds, np.float32)
        self._largest = np.concatenate([self._goal_bounds, self._bounds])
        self._smallest = -self._largest
        self.robot_size = len(robot.observation_bounds)
        """Number of leading entries of `observation` that are the robot's state."""

    def space(self) -> spaces.Dict:
        """The observation space."""
        goal = self._goal_bounds
        way = np.array(self._task.way_bounds or 2 * goal, np.float32)
        state = np.concatenate([self._bounds, way]) if self._goal_relative else self._bounds
        # Sorted keys: Stable-Baselines3 concatenates in this order.
        return spaces.Dict(
            {
                "achieved_goal": spaces.Box(-goal, goal),
                "desired_goal": spaces.Box(-goal, goal),
                "observation": spaces.Box(-state, state),
            }
        )

    def read(self, step: int) -> tuple[Values, Values]:
        """Read the current state and achieved goal, at a step of the episode."""
        robot = self._robot.observe()
        goal, task = self._task.achieved_goal(robot), self._task.observe()
        values = np.array([*goal, *robot, *task, *self._from_hand(robot[:3])], np.float32)
        achieved, state = values[: len(goal)], values[len(goal) :]
        self._disturbances.sense(state, step)
        np.minimum(np.maximum(values, self._smallest, out=values), self._largest, out=values)
        return state, achieved

    def _from_hand(self, hand: list[float]) -> list[float]:
        places = [thing.position() for thing in self._relative]
        return [there - here for place in places for there, here in zip(place, hand, strict=True)]

    def observation(self, state: Values, achieved: Values, goal: Values) -> dict[str, Values]:
        """Build an observation from a state, the achieved and the desired goal."""
        if self._goal_relative:
            state = np.concatenate([state, self._task.way(achieved, goal)])
        return {"achieved_goal": achieved, "desired_goal": goal.copy(), "observation": state}
