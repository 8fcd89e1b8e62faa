"""PandaPickAndPlace: carry a cube to a goal on the table or in the air."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nondiff.envs.arm.tasks.one_object import CUBE_SIZE, OneCube
from nondiff.envs.arm.tasks.task import on_the_table

LIFT = 0.2  # [m] maximum height of goals above the table
ON_THE_TABLE = 0.3  # share of goals on the table


class PickAndPlace(OneCube):
    """Carry a cube to a goal (3,) [m] in the air or on the table, as in panda-gym 3.0.7."""

    gripper = True

    def sample_goal(self, rng: np.random.Generator) -> NDArray[np.float32]:
        goal = on_the_table(rng, CUBE_SIZE / 2)
        lift = LIFT * rng.random()
        if rng.random() >= ON_THE_TABLE:
            goal[2] += lift
        return np.array(goal, np.float32)
