"""The base class of tasks of the arm."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.world.scene import Scene, Table

SQUARE = 0.3  # [m] side of the square in which objects start and goals lie


class Task(ABC):
    """A goal-conditioned task: it samples goals, measures distances to them and defines success.

    A task is constructed with a scene, to which it may add objects, before the initial state is
    frozen. It has no state of its own: everything that changes is in the simulation, so that
    `ArmEnv.set_state` restores it.
    """

    arm_only = False  # whether only the arm moves and the goal is a position of the end effector
    table = Table()
    gripper: bool  # whether the action controls the fingers
    threshold: float  # success is a distance below this
    observation_bounds: tuple[float, ...]  # maximum magnitudes of the entries of `observe`
    goal_bounds: tuple[float, ...]  # maximum magnitudes of the entries of a goal
    way_bounds: tuple[float, ...] | None = None  # those of `way`; None: twice the goal bounds

    @abstractmethod
    def __init__(self, scene: Scene) -> None: ...

    @abstractmethod
    def reset(self, rng: np.random.Generator) -> None:
        """Place the task's objects for a new episode."""

    @abstractmethod
    def sample_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Sample a goal; the environment resamples while the episode would start solved."""

    @abstractmethod
    def show_goal(self, goal: NDArray[np.float32]) -> None:
        """Move the goal markers to a goal."""

    @abstractmethod
    def observe(self) -> list[float]:
        """The task's part of the observation, such as the states of its objects."""

    @abstractmethod
    def achieved_goal(self, robot_observation: list[float]) -> list[float]:
        """The currently achieved goal, in the coordinates of goals."""

    def way(
        self, achieved: NDArray[np.float32], desired: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What remains from the achieved to the desired goal (goal,), for `goal_relative`."""
        return desired - achieved

    @abstractmethod
    def distance(
        self, achieved: NDArray[np.float32], desired: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Distances (...) between goals (..., goal)."""


def on_the_table(rng: np.random.Generator, height: float, x: float = 0.0) -> list[float]:
    """Sample a point (3,) [m] at a height above a square around (x, 0), side `SQUARE`."""
    dx = -SQUARE / 2 + SQUARE * rng.random()  # two scalars are faster than an array of two
    dy = -SQUARE / 2 + SQUARE * rng.random()
    return [x + dx, dy, height]


def euclidean(achieved: NDArray[np.float32], desired: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean distance along the last axis; single and batched results are bit-identical."""
    difference = achieved - desired
    return np.sqrt(np.add.reduce(difference * difference, axis=-1))  # type: ignore[no-any-return]
