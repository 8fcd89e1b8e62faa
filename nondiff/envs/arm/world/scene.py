"""The scene around the arm: table, floor, objects, goal markers, and the camera."""

from __future__ import annotations

from dataclasses import dataclass

from nondiff.envs.arm.cameras.camera import Camera
from nondiff.envs.arm.cameras.view import View
from nondiff.envs.arm.world.engine import IDENTITY, Vector
from nondiff.envs.arm.world.rigid_object import RigidObject
from nondiff.envs.arm.world.shapes import Box, Colour, Shape, SixColours, Sphere
from nondiff.envs.arm.world.simulation import Simulation

FLOOR_HEIGHT = -0.4  # [m]; the table's top is at 0
FLOOR_HALF_WIDTH = 3.0  # [m]
GOAL_RADIUS = 0.02  # [m]
NEAREST = 0.2  # [m] from the origin towards the robot: the arm rarely pulls objects closer
PARKING = 10.0  # [m] distance of objects from each other and the scene before an episode

TABLE_COLOUR = (0.62, 0.65, 0.69, 1.0)  # darker than the robots
FLOOR_COLOUR = (0.5, 0.55, 0.6, 1.0)
GOAL_COLOUR = (0.95, 0.35, 0.1, 1.0)
REACHED_COLOUR = (0.1, 0.8, 0.25, 1.0)
FIRST_COLOUR = (0.15, 0.35, 0.9, 1.0)  # of a task's first object
SECOND_COLOUR = (0.95, 0.8, 0.15, 1.0)

ANY_VIEW = View()


@dataclass(frozen=True)
class Table:
    """A table whose top is at height 0."""

    length: float = 1.1  # [m] along x
    width: float = 0.7  # [m]
    height: float = 0.4  # [m]
    x: float = -0.3  # [m] of its centre


def overview(table: Table) -> View:
    """A view of the whole workspace, for people."""
    middle = (table.x + 0.15, 0.0, 0.2)
    return View(target=middle, distance=1.3 * table.length, yaw=30, pitch=-32, fov=40)


def close_up(table: Table) -> View:
    """A view of goals, objects and the hand above them, for policies; it faces the arm."""
    end = table.x + table.length / 2
    middle = ((end - NEAREST) / 2, 0.0, 0.06)
    return View(target=middle, distance=1.9 * (end + NEAREST), yaw=90, pitch=-45, fov=42)


class Scene:
    """A floor, a table, objects, goal markers and a camera.

    The geometry follows panda-gym 3.0.7 (`Task._create_scene`), so that results are comparable.

    Args:
        simulation: the world.
        table: the table that the arm stands on.
        view: view of the camera; missing values are those of `overview`.
        floor: whether to add a floor.
    """

    def __init__(
        self, simulation: Simulation, table: Table, view: View = ANY_VIEW, floor: bool = True
    ) -> None:
        self.simulation = simulation
        self.objects: list[RigidObject] = []
        self.ghosts: list[int] = []
        self._markers: list[int] = []
        self._reached: bool | None = None
        if floor:
            slab = Box((FLOOR_HALF_WIDTH, FLOOR_HALF_WIDTH, 0.01))
            simulation.add_body(slab, FLOOR_COLOUR, (0.0, 0.0, FLOOR_HEIGHT - 0.01))
        top = Box((table.length / 2, table.width / 2, table.height / 2))
        self.table = simulation.add_body(top, TABLE_COLOUR, (table.x, 0.0, -table.height / 2))
        self.camera = Camera(simulation.client, view.over(overview(table)))
        self.camera.aim_window()

    def add_object(
        self,
        shape: Shape,
        mass: float,
        colour: Colour | SixColours = FIRST_COLOUR,
        friction: float | None = None,
    ) -> RigidObject:
        """Add a movable object; the task's `reset` places it.

        Args:
            shape: see `shapes`.
            mass: [kg].
            colour: colour of the object, or of each face of a box.
            friction: lateral friction coefficient; None: PyBullet's default, 0.5.
        """
        parked = (0.0, 0.0, PARKING * (len(self.objects) + 1))
        body = self.simulation.add_body(shape, colour, parked, mass)
        if friction is not None:
            self.simulation.set_friction(body, friction)
        self.objects.append(RigidObject(self.simulation, body))
        return self.objects[-1]

    def add_goal_marker(self, radius: float = GOAL_RADIUS) -> int:
        """Add a sphere that marks a goal and shows success; returns its body id."""
        marker = self.add_ghost(Sphere(radius), GOAL_COLOUR)
        self._markers.append(marker)
        return marker

    def add_ghost(self, shape: Shape, colour: Colour | SixColours) -> int:
        """Add a visible body that collides with nothing; returns its body id."""
        parked = (PARKING, 0.0, 0.0)
        self.ghosts.append(self.simulation.add_body(shape, colour, parked, ghost=True))
        return self.ghosts[-1]

    def place_ghost(self, body: int, position: Vector, orientation: Vector = IDENTITY) -> None:
        """Place a ghost at `position` (3,) [m] and a quaternion (x, y, z, w), world frame."""
        self.simulation.place(body, position, orientation)

    def show_success(self, reached: bool) -> None:
        """Colour the goal markers by whether the goal is reached."""
        if reached == self._reached:
            return
        self._reached = reached
        for marker in self._markers:
            self.simulation.set_colour(marker, REACHED_COLOUR if reached else GOAL_COLOUR)
