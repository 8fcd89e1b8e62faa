"""THE table of environments: one line per id.

Entry points are strings, so that a simulator is imported only when it is used.
"""

from __future__ import annotations

if __name__ != "nondiff.envs":
    raise ImportError(
        f"{__name__!r} is a link in the checkout, not a package: use 'import nondiff.envs'"
    )

import gymnasium

#             id                             entry point                         arguments
ENVIRONMENTS: dict[str, tuple[str, dict[str, object]]] = {
    "nondiff/PandaReach-v0": ("nondiff.envs.arm.reach:panda_reach", {"reward_type": "sparse"}),
    "nondiff/PandaReachDense-v0": ("nondiff.envs.arm.reach:panda_reach", {"reward_type": "dense"}),
    "nondiff/PandaPush-v0": ("nondiff.envs.arm.push:panda_push", {"reward_type": "sparse"}),
    "nondiff/PandaPushDense-v0": ("nondiff.envs.arm.push:panda_push", {"reward_type": "dense"}),
    "nondiff/PandaSlide-v0": ("nondiff.envs.arm.slide:panda_slide", {"reward_type": "sparse"}),
    "nondiff/PandaSlideDense-v0": ("nondiff.envs.arm.slide:panda_slide", {"reward_type": "dense"}),
    "nondiff/PandaPickAndPlace-v0": (
        "nondiff.envs.arm.pick_and_place:panda_pick_and_place",
        {"reward_type": "sparse"},
    ),
    "nondiff/PandaPickAndPlaceDense-v0": (
        "nondiff.envs.arm.pick_and_place:panda_pick_and_place",
        {"reward_type": "dense"},
    ),
    "nondiff/PandaStack-v0": ("nondiff.envs.arm.stack:panda_stack", {"reward_type": "sparse"}),
    "nondiff/PandaStackDense-v0": ("nondiff.envs.arm.stack:panda_stack", {"reward_type": "dense"}),
    "nondiff/PandaFlip-v0": ("nondiff.envs.arm.flip:panda_flip", {"reward_type": "sparse"}),
    "nondiff/PandaFlipDense-v0": ("nondiff.envs.arm.flip:panda_flip", {"reward_type": "dense"}),
    "nondiff/KukaReach-v0": ("nondiff.envs.arm.reach:kuka_reach", {"reward_type": "sparse"}),
    "nondiff/KukaReachDense-v0": ("nondiff.envs.arm.reach:kuka_reach", {"reward_type": "dense"}),
    "nondiff/SurfaceWaves-v0": ("nondiff.envs.surface_waves.box:surface_waves", {"layers": 10}),
    "nondiff/SurfaceWaves6-v0": ("nondiff.envs.surface_waves.box:surface_waves", {"layers": 6}),
    "nondiff/DoomBasic-v0": ("nondiff.envs.doom.env:doom_basic", {}),
    "nondiff/DoomDefendTheCenter-v0": ("nondiff.envs.doom.env:doom_defend_the_center", {}),
    "nondiff/OpAmp-v0": ("nondiff.envs.op_amp.box:op_amp", {}),
    "nondiff/YagiAntenna-v0": ("nondiff.envs.yagi_antenna.box:yagi_antenna", {}),
}

# Those that step many episodes at once by themselves, for `gymnasium.make_vec`.
VECTOR_ENTRY_POINTS: dict[str, str] = {
    "nondiff.envs.arm.reach:panda_reach": "nondiff.envs.arm.vector:panda_reach_vector",
    "nondiff.envs.arm.push:panda_push": "nondiff.envs.arm.vector:panda_push_vector",
    "nondiff.envs.arm.slide:panda_slide": "nondiff.envs.arm.vector:panda_slide_vector",
    "nondiff.envs.arm.pick_and_place:panda_pick_and_place": (
        "nondiff.envs.arm.vector:panda_pick_and_place_vector"
    ),
    "nondiff.envs.arm.stack:panda_stack": "nondiff.envs.arm.vector:panda_stack_vector",
    "nondiff.envs.arm.flip:panda_flip": "nondiff.envs.arm.vector:panda_flip_vector",
    "nondiff.envs.arm.reach:kuka_reach": "nondiff.envs.arm.vector:kuka_reach_vector",
    "nondiff.envs.surface_waves.box:surface_waves": (
        "nondiff.envs.surface_waves.box:surface_waves_vector"
    ),
    "nondiff.envs.op_amp.box:op_amp": "nondiff.envs.op_amp.box:op_amp_vector",
    "nondiff.envs.yagi_antenna.box:yagi_antenna": (
        "nondiff.envs.yagi_antenna.box:yagi_antenna_vector"
    ),
}

for _id, (_entry_point, _arguments) in ENVIRONMENTS.items():
    gymnasium.register(
        _id,
        entry_point=_entry_point,
        vector_entry_point=VECTOR_ENTRY_POINTS.get(_entry_point),
        kwargs=_arguments,
    )
