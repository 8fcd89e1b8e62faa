"""PandaFlip: turn a cube to a goal orientation, at any position."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.tasks.one_object import CUBE_SIZE, OBJECT_MASS
from nondiff.envs.arm.tasks.task import Task, on_the_table
from nondiff.envs.arm.world.engine import rotation_matrix
from nondiff.envs.arm.world.rigid_object import QUATERNION_BOUNDS, QUATERNION_MOTION_BOUNDS
from nondiff.envs.arm.world.scene import Scene
from nondiff.envs.arm.world.shapes import SixColours, cube

FACES = SixColours(
    (
        (0.85, 0.15, 0.15, 1.0),
        (0.95, 0.55, 0.1, 1.0),
        (0.15, 0.65, 0.25, 1.0),
        (0.15, 0.35, 0.9, 1.0),
        (0.95, 0.95, 0.95, 1.0),
        (0.95, 0.85, 0.15, 1.0),
    )
)
PATTERN_PLACE = (0.0, -0.28, 0.04)  # [m] of a second cube that shows the goal, beside the workspace
MARKER_PLACE = (0.0, -0.28, 0.1)
MARKER_RADIUS = 0.012  # [m]


class Flip(Task):
    """Turn a cube to a goal quaternion (x, y, z, w), world frame, as in panda-gym 3.0.7.

    Goals are uniform over all rotations. The distance is 1 - <a, b>^2: the squared sine of half the
    angle between two orientations, which is the same for a quaternion and its negative.
    """

    gripper = True
    threshold = 0.2  # an angle of 53 degrees
    observation_bounds = QUATERNION_MOTION_BOUNDS
    goal_bounds = QUATERNION_BOUNDS
    way_bounds = (1.0,) * 36

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._cube = scene.add_object(cube(CUBE_SIZE), OBJECT_MASS, FACES)
        self._pattern = scene.add_ghost(cube(CUBE_SIZE), FACES)
        self._marker = scene.add_goal_marker(MARKER_RADIUS)

    def reset(self, rng: np.random.Generator) -> None:
        self._cube.place(on_the_table(rng, CUBE_SIZE / 2))

    def sample_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        direction = rng.standard_normal(4)  # uniform on the sphere, so uniform over rotations
        return (direction / np.linalg.norm(direction)).astype(np.float32)

    def show_goal(self, goal: NDArray[np.float32]) -> None:
        self._scene.place_ghost(self._pattern, PATTERN_PLACE, goal.tolist())
        self._scene.place_ghost(self._marker, MARKER_PLACE)

    def observe(self) -> list[float]:
        return self._cube.observe_quaternion()

    def achieved_goal(self, robot_observation: list[float]) -> list[float]:
        return list(self._cube.quaternion())

    def way(
        self, achieved: NDArray[np.float32], desired: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Four flattened rotation matrices (36,): achieved, desired, and the turn in two frames.

        The turn from achieved to desired is given in the world frame, then in the cube frame. The
        cube's axes are renamed by `upright`: the possible moves are the same whichever face is up,
        so a policy need not learn them for each of the 24 symmetries.
        """
        now, then = rotation_matrix(achieved.tolist()), rotation_matrix(desired.tolist())
        names = upright(now)
        now, then = now @ names, then @ names
        parts = np.array([now, then, then @ now.T, now.T @ then], np.float32).ravel()
        return np.minimum(np.maximum(parts, np.float32(-1)), np.float32(1))

    def distance(
        self, achieved: NDArray[np.float32], desired: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        inner = np.add.reduce(achieved * desired, axis=-1)
        # Rounding may make it negative, which would give a positive reward.
        return np.maximum(1 - inner * inner, np.float32(0))  # type: ignore[no-any-return]


def upright(cube: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the symmetry of a cube that makes the renamed axes most upright.

    Args:
        cube: (3, 3) rotation from the cube frame to the world frame.

    Returns:
        (3, 3) rotation R such that in `cube @ R` the z axis is the cube axis that points upwards
        most, and the x axis the one of the others that points forwards most.
    """
    z = int(np.argmax(np.abs(cube[2])))
    y, x = sorted(((z + 1) % 3, (z + 2) % 3), key=lambda axis: abs(cube[0, axis]))
    up, ahead = np.sign(cube[2, z]), np.sign(cube[0, x])
    names = np.zeros((3, 3))
    names[z, 2], names[x, 0] = up, ahead
    names[y, 1] = up * ahead * (1 if (y - x) % 3 == 1 else -1)  # right-handed
    return names
