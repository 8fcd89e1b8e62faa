"""What stands around the arm, and the camera that looks at it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.simulation import Simulation, Vector

FLOOR_HEIGHT = -0.4  # [m]; the table's top is at 0
TABLE_SIZE = (1.1, 0.7, 0.4)  # [m]
TABLE_X = -0.3  # [m], centre
GOAL_RADIUS = 0.02  # [m]

TABLE_COLOUR = (0.93, 0.94, 0.95, 1.0)
FLOOR_COLOUR = (0.42, 0.47, 0.53, 1.0)
GOAL_COLOUR = (0.95, 0.35, 0.1, 1.0)
REACHED_COLOUR = (0.1, 0.8, 0.25, 1.0)

VIEW = {"cameraTargetPosition": (-0.25, 0.0, 0.26), "distance": 1.5, "yaw": 52, "pitch": -24}
LENS = {"fov": 42, "nearVal": 0.05, "farVal": 8.0}


class Scene:
    """A floor, a table whose top is at height 0, goal markers and a camera.

    Geometry follows panda-gym 3.0.7 (`Task._create_scene`), so that results compare.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self._markers: list[int] = []
        self._reached: bool | None = None
        length, width, height = TABLE_SIZE
        simulation.add_box((3.0, 3.0, 0.01), (0.0, 0.0, FLOOR_HEIGHT - 0.01), FLOOR_COLOUR)
        simulation.add_box(
            (length / 2, width / 2, height / 2), (TABLE_X, 0.0, -height / 2), TABLE_COLOUR
        )
        simulation.aim_window(VIEW)

    def add_goal_marker(self) -> int:
        """Add a sphere that shows a goal; returns its body id."""
        marker = self.simulation.add_ghost_sphere(GOAL_RADIUS, GOAL_COLOUR)
        self._markers.append(marker)
        return marker

    def place_goal_marker(self, marker: int, position: Vector) -> None:
        """Move a goal marker to `position` (3,) [m], world frame."""
        self.simulation.place(marker, position)

    def show_success(self, reached: bool) -> None:
        """Colour the goal markers by whether the goal is reached."""
        if reached == self._reached:
            return
        self._reached = reached
        for marker in self._markers:
            self.simulation.set_colour(marker, REACHED_COLOUR if reached else GOAL_COLOUR)

    def image(self, width: int, height: int) -> NDArray[np.uint8]:
        """A picture (height, width, 3) of the whole workspace."""
        return self.simulation.image(width, height, VIEW, LENS)
