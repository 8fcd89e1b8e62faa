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
}

for _id, (_entry_point, _arguments) in ENVIRONMENTS.items():
    gymnasium.register(_id, entry_point=_entry_point, kwargs=_arguments)
