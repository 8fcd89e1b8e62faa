"""PandaPush: push a cube to a place on the table."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.env import ArmEnv
from nondiff.envs.arm.one_object import OneObject
from nondiff.envs.arm.panda import PANDA
from nondiff.envs.arm.shapes import cube
from nondiff.envs.arm.task import on_the_table

SIZE = 0.04  # [m]


class Push(OneObject):
    """Push a cube to a goal (3,) [m] on the table with closed fingers (panda-gym 3.0.7)."""

    gripper = False
    shape = cube(SIZE)
    start_height = SIZE / 2
    marker_radius = 0.65 * SIZE  # it is seen about a cube that has arrived

    def sample_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        return on_the_table(rng, SIZE / 2).astype(np.float32)


panda_push = partial(ArmEnv, Push, PANDA)
