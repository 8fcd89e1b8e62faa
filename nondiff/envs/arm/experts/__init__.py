"""THE table of scripted experts: one line per task, imported on first use."""

from __future__ import annotations

#  entry point of the environments           function from observations to actions
EXPERTS: dict[str, str] = {
    "nondiff.envs.arm.suite:panda_reach": "nondiff.envs.arm.experts.reach:reach",
    "nondiff.envs.arm.suite:kuka_reach": "nondiff.envs.arm.experts.reach:reach",
    "nondiff.envs.arm.suite:panda_push": "nondiff.envs.arm.experts.push:push",
    "nondiff.envs.arm.suite:panda_slide": "nondiff.envs.arm.experts.slide:slide",
    "nondiff.envs.arm.suite:panda_pick_and_place": (
        "nondiff.envs.arm.experts.pick_and_place:pick_and_place"
    ),
    "nondiff.envs.arm.suite:panda_stack": "nondiff.envs.arm.experts.stack:stack",
    "nondiff.envs.arm.suite:panda_flip": "nondiff.envs.arm.experts.flip:flip",
}
