"""THE table of the arm's environments: the task and the robot of each entry point.

The second entry point of each pair is for `gymnasium.make_vec`; see `ParallelVectorEnv`.
"""

from __future__ import annotations

from functools import partial

from nondiff.envs.arm.env import ArmEnv
from nondiff.envs.arm.robots.kuka_iiwa import KUKA_IIWA
from nondiff.envs.arm.robots.panda import PANDA
from nondiff.envs.arm.tasks.flip import Flip
from nondiff.envs.arm.tasks.pick_and_place import PickAndPlace
from nondiff.envs.arm.tasks.push import Push
from nondiff.envs.arm.tasks.reach import Reach
from nondiff.envs.arm.tasks.slide import Slide
from nondiff.envs.arm.tasks.stack import HORIZON as STACK_HORIZON
from nondiff.envs.arm.tasks.stack import Stack
from nondiff.processes.vector_env import ParallelVectorEnv

panda_reach = partial(ArmEnv, Reach, PANDA)
panda_reach_vector = partial(ParallelVectorEnv, panda_reach)
panda_push = partial(ArmEnv, Push, PANDA)
panda_push_vector = partial(ParallelVectorEnv, panda_push)
panda_slide = partial(ArmEnv, Slide, PANDA)
panda_slide_vector = partial(ParallelVectorEnv, panda_slide)
panda_pick_and_place = partial(ArmEnv, PickAndPlace, PANDA)
panda_pick_and_place_vector = partial(ParallelVectorEnv, panda_pick_and_place)
panda_stack = partial(ArmEnv, Stack, PANDA, horizon=STACK_HORIZON)
panda_stack_vector = partial(ParallelVectorEnv, panda_stack)
panda_flip = partial(ArmEnv, Flip, PANDA)
panda_flip_vector = partial(ParallelVectorEnv, panda_flip)
kuka_reach = partial(ArmEnv, Reach, KUKA_IIWA)
kuka_reach_vector = partial(ParallelVectorEnv, kuka_reach)
