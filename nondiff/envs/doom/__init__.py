"""Scenarios of the game Doom, played from the screen's pixels through its controls."""

from nondiff.gym.family import Family
from nondiff.requirements import Need

FAMILY = Family(
    environments={
        "nondiff/DoomBasic-v0": ("env:doom_basic", {}),
        "nondiff/DoomDefendTheCenter-v0": ("env:doom_defend_the_center", {}),
    },
    needs=(Need("package", "vizdoom", "pip install 'nondiff[doom]'"),),
)
