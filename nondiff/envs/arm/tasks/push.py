"""PandaPush: push a cube to a goal on the table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.tasks.one_object import CUBE_SIZE, OneCube
from nondiff.envs.arm.tasks.task import on_the_table


class Push(OneCube):
    """Push a cube with closed fingers to a goal (3,) [m] on the table, as in panda-gym 3.0.7."""

    gripper = False

    def sample_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        return np.array(on_the_table(rng, CUBE_SIZE / 2), np.float32)
