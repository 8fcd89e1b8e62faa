"""The arm's environments many at once, for `gymnasium.make_vec`: see `ParallelVectorEnv`."""

from __future__ import annotations

from functools import partial

from nondiff.envs.arm.flip import panda_flip
from nondiff.envs.arm.pick_and_place import panda_pick_and_place
from nondiff.envs.arm.push import panda_push
from nondiff.envs.arm.reach import kuka_reach, panda_reach
from nondiff.envs.arm.slide import panda_slide
from nondiff.envs.arm.stack import panda_stack
from nondiff.envs.parallel import ParallelVectorEnv

panda_reach_vector = partial(ParallelVectorEnv, panda_reach)
panda_push_vector = partial(ParallelVectorEnv, panda_push)
panda_slide_vector = partial(ParallelVectorEnv, panda_slide)
panda_pick_and_place_vector = partial(ParallelVectorEnv, panda_pick_and_place)
panda_stack_vector = partial(ParallelVectorEnv, panda_stack)
panda_flip_vector = partial(ParallelVectorEnv, panda_flip)
kuka_reach_vector = partial(ParallelVectorEnv, kuka_reach)
