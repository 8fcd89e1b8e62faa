"""The scenarios and their actions."""

from __future__ import annotations

from dataclasses import dataclass

TIC_RATE = 35  # [Hz] of the game's clock
Buttons = tuple[int, int, int]
# The buttons that an action holds down: left, right, attack.
ONE_AT_A_TIME: dict[str, Buttons] = {
    "wait": (0, 0, 0),
    "left": (1, 0, 0),
    "right": (0, 1, 0),
    "attack": (0, 0, 1),
}
MOVING_ATTACKS: dict[str, Buttons] = {"left and attack": (1, 0, 1), "right and attack": (0, 1, 1)}


@dataclass(frozen=True)
class Scenario:
    """A scenario included in ViZDoom, with its own rewards and length.

    Args:
        config: its configuration file in ViZDoom's scenarios folder.
        buttons: ViZDoom's names of the buttons left, right and attack.
        actions: the buttons that each action holds down, by the action's name.
        tics: maximum length of an episode, as in the configuration file.
    """

    config: str
    buttons: tuple[str, str, str]
    actions: dict[str, Buttons]
    tics: int


BASIC = Scenario(
    "basic.cfg", ("MOVE_LEFT", "MOVE_RIGHT", "ATTACK"), ONE_AT_A_TIME | MOVING_ATTACKS, tics=300
)
# No combined actions: shots miss while turning.
DEFEND_THE_CENTER = Scenario(
    "defend_the_center.cfg", ("TURN_LEFT", "TURN_RIGHT", "ATTACK"), ONE_AT_A_TIME, tics=2100
)
