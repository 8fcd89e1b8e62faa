"""THE table of scripted experts: one line per task, imported when it is used."""

from __future__ import annotations

#  entry point of the environments           what acts in them
EXPERTS: dict[str, str] = {
    "nondiff.envs.arm.reach:panda_reach": "nondiff.envs.arm.experts.reach:reach",
    "nondiff.envs.arm.reach:kuka_reach": "nondiff.envs.arm.experts.reach:reach",
    "nondiff.envs.arm.push:panda_push": "nondiff.envs.arm.experts.push:push",
    "nondiff.envs.arm.slide:panda_slide": "nondiff.envs.arm.experts.slide:slide",
    "nondiff.envs.arm.pick_and_place:panda_pick_and_place": (
        "nondiff.envs.arm.experts.pick_and_place:pick_and_place"
    ),
    "nondiff.envs.arm.stack:panda_stack": "nondiff.envs.arm.experts.stack:stack",
    "nondiff.envs.arm.flip:panda_flip": "nondiff.envs.arm.experts.flip:flip",
}
