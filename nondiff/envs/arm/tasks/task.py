"""What a task on the arm has to define."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.world.scene import Scene, Table

SQUARE = 0.3  # [m] in which objects start, and goals lie


class Task(ABC):
    """A goal for the arm: where it may lie, how far the arm is from it, when it is reached.

    A task is built with the scene it may add objects to, before the initial state is frozen. It
    remembers nothing from one step to the next: all that changes is in the simulation, so that
    `ArmEnv.set_state` restores it.
    """

    arm_only = False  # nothing but the arm moves, and the goal is a place for the end effector
    table = Table()
    gripper: bool  # whether the fingers are driven
    threshold: float  # a distance below it is success, in the unit of `distance`
    observation_bounds: tuple[float, ...]  # the largest magnitude of each entry of `observe`
    goal_bounds: tuple[float, ...]  # the same for goals
    way_bounds: tuple[float, ...] | None = None  # the same of `way`; None: twice the goals'

    @abstractmethod
    def __init__(self, scene: Scene) -> None: ...

    @abstractmethod
    def reset(self, rng: np.random.Generator) -> None:
        """Place the task's objects."""

    @abstractmethod
    def sample_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw a goal; the environment draws again while the episode would start solved."""

    @abstractmethod
    def show_goal(self, goal: NDArray[np.float32]) -> None:
        """Put the goal markers where they belong."""

    @abstractmethod
    def observe(self) -> list[float]:
        """The objects' part of the observation."""

    @abstractmethod
    def achieved_goal(self, robot_observation: list[float]) -> list[float]:
        """What is reached at present, in the goal's coordinates."""

    def way(
        self, achieved: NDArray[np.float32], desired: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What is still to be done from one goal (goal,) to another, for the policy to see."""
        return desired - achieved

    @abstractmethod
    def distance(
        self, achieved: NDArray[np.float32], desired: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Distance between goals of shape (..., goal); returns shape (...)."""


def on_the_table(rng: np.random.Generator, height: float, x: float = 0.0) -> list[float]:
    """A point (3,) [m] at a height, drawn from a square about (x, 0) within the arm's reach."""
    dx = -SQUARE / 2 + SQUARE * rng.random()  # one by one: an array of two takes longer
    dy = -SQUARE / 2 + SQUARE * rng.random()
    return [x + dx, dy, height]


def euclidean(achieved: NDArray[np.float32], desired: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean distance along the last axis, the same bits one by one and in a batch."""
    difference = achieved - desired
    return np.sqrt(np.add.reduce(difference * difference, axis=-1))  # type: ignore[no-any-return]
