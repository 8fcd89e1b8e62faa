"""The scenarios, and what can be done in them."""

from __future__ import annotations

from dataclasses import dataclass

TIC_RATE = 35  # [Hz], of the game's clock
Buttons = tuple[int, int, int]
# Which of a scenario's three buttons an action holds down: left, right, attack.
ONE_AT_A_TIME: dict[str, Buttons] = {
    "wait": (0, 0, 0),
    "left": (1, 0, 0),
    "right": (0, 1, 0),
    "attack": (0, 0, 1),
}
MOVING_ATTACKS: dict[str, Buttons] = {"left and attack": (1, 0, 1), "right and attack": (0, 1, 1)}


@dataclass(frozen=True)
class Scenario:
    """A scenario that ViZDoom ships, with its own rewards and length.

    Args:
        config: its configuration, in ViZDoom's folder of scenarios.
        buttons: left, right and attack, in the names of that file.
        actions: the names of the actions, and the buttons that each holds down.
        tics: of an episode, at most, as that file has it.
    """

    config: str
    buttons: tuple[str, str, str]
    actions: dict[str, Buttons]
    tics: int


BASIC = Scenario(
    "basic.cfg", ("MOVE_LEFT", "MOVE_RIGHT", "ATTACK"), ONE_AT_A_TIME | MOVING_ATTACKS, tics=300
)
# Who turns while shooting misses.
DEFEND_THE_CENTER = Scenario(
    "defend_the_center.cfg", ("TURN_LEFT", "TURN_RIGHT", "ATTACK"), ONE_AT_A_TIME, tics=2100
)
