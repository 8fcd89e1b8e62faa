"""What stands around the arm, and the camera that looks at it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.camera import Camera
from nondiff.envs.arm.engine import IDENTITY, Vector
from nondiff.envs.arm.rigid_object import RigidObject
from nondiff.envs.arm.shapes import Box, Colour, Shape, SixColours, Sphere
from nondiff.envs.arm.simulation import Simulation

FLOOR_HEIGHT = -0.4  # [m]; the table's top is at 0
FLOOR_HALF_WIDTH = 3.0  # [m]
GOAL_RADIUS = 0.02  # [m]
PARKING = 10.0  # [m]: where objects wait for an episode, far from everything and each other

TABLE_COLOUR = (0.93, 0.94, 0.95, 1.0)
FLOOR_COLOUR = (0.42, 0.47, 0.53, 1.0)
GOAL_COLOUR = (0.95, 0.35, 0.1, 1.0)
REACHED_COLOUR = (0.1, 0.8, 0.25, 1.0)
FIRST_COLOUR = (0.15, 0.35, 0.9, 1.0)  # of a task's objects
SECOND_COLOUR = (0.95, 0.8, 0.15, 1.0)

VIEW = {"yaw": 52, "pitch": -24}
VIEW_HEIGHT = 0.26  # [m] of the point in the middle of pictures
VIEW_BEYOND = 0.05  # [m] from the table's middle to it
VIEW_DISTANCE = 1.36  # lengths of the table
LENS = {"fov": 42, "nearVal": 0.05, "farVal": 8.0}


@dataclass(frozen=True)
class Table:
    """A table whose top is at height 0."""

    length: float = 1.1  # [m] along x
    width: float = 0.7  # [m]
    height: float = 0.4  # [m]
    x: float = -0.3  # [m] of its centre


class Scene:
    """A floor, a table, objects on it, goal markers and a camera.

    Geometry follows panda-gym 3.0.7 (`Task._create_scene`), so that results compare.
    """

    def __init__(self, simulation: Simulation, table: Table) -> None:
        self.simulation = simulation
        self._markers: list[int] = []
        self._objects = 0
        self._reached: bool | None = None
        floor = Box((FLOOR_HALF_WIDTH, FLOOR_HALF_WIDTH, 0.01))
        top = Box((table.length / 2, table.width / 2, table.height / 2))
        simulation.add_body(floor, FLOOR_COLOUR, (0.0, 0.0, FLOOR_HEIGHT - 0.01))
        simulation.add_body(top, TABLE_COLOUR, (table.x, 0.0, -table.height / 2))
        view = {
            "cameraTargetPosition": (table.x + VIEW_BEYOND, 0.0, VIEW_HEIGHT),
            "distance": VIEW_DISTANCE * table.length,
            **VIEW,
        }
        self._camera = Camera(simulation.client, view, LENS)
        self._camera.aim_window()

    def add_object(
        self,
        shape: Shape,
        mass: float,
        colour: Colour | SixColours = FIRST_COLOUR,
        friction: float | None = None,
    ) -> RigidObject:
        """Add an object that can be moved; a task's `reset` places it.

        Args:
            shape: see `shapes`.
            mass: [kg].
            colour: of all of it, or of each face of a box.
            friction: the lateral coefficient; PyBullet's own, 0.5, if None.
        """
        self._objects += 1
        parked = (0.0, 0.0, PARKING * self._objects)
        body = self.simulation.add_body(shape, colour, parked, mass)
        if friction is not None:
            self.simulation.set_friction(body, friction)
        return RigidObject(self.simulation, body)

    def add_goal_marker(self, radius: float = GOAL_RADIUS) -> int:
        """Add a sphere that shows a goal and whether it is reached; returns its body id."""
        marker = self.add_ghost(Sphere(radius), GOAL_COLOUR)
        self._markers.append(marker)
        return marker

    def add_ghost(self, shape: Shape, colour: Colour | SixColours) -> int:
        """Add what is only seen; returns its body id."""
        return self.simulation.add_body(shape, colour, (0.0, 0.0, 0.0), ghost=True)

    def place_ghost(self, body: int, position: Vector, orientation: Vector = IDENTITY) -> None:
        """Move what is only seen to `position` (3,) [m] and a quaternion, world frame."""
        self.simulation.place(body, position, orientation)

    def show_success(self, reached: bool) -> None:
        """Colour the goal markers by whether the goal is reached."""
        if reached == self._reached:
            return
        self._reached = reached
        for marker in self._markers:
            self.simulation.set_colour(marker, REACHED_COLOUR if reached else GOAL_COLOUR)

    def image(self, width: int, height: int) -> NDArray[np.uint8]:
        """A picture (height, width, 3) of the whole workspace."""
        return self._camera.image(width, height)
