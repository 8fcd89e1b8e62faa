"""PandaSlide: hit a puck so that it slides to a goal out of reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.tasks.one_object import OneObject
from nondiff.envs.arm.tasks.task import on_the_table
from nondiff.envs.arm.world.scene import Table
from nondiff.envs.arm.world.shapes import Cylinder

RADIUS = 0.03  # [m]
HEIGHT = 0.03  # [m]
FRICTION = 0.04
GOAL_X = 0.4  # [m] of the centre of the goals


class Slide(OneObject):
    """Slide a puck to a goal (3,) [m] on the table, mostly out of reach, as in panda-gym 3.0.7.

    As there, the puck starts half its height above the table, and goals have that height, too.
    """

    table = Table(length=1.4, x=-0.1)
    gripper = False
    shape = Cylinder(RADIUS, HEIGHT)
    start_height = HEIGHT
    friction = FRICTION
    marker_radius = 0.02

    def sample_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        return np.array(on_the_table(rng, HEIGHT, GOAL_X), np.float32)
