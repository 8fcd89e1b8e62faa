"""Hyperparameters of the algorithms that learn how random their actions are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from nondiff.agents.sb3.algorithms.layout import SQUASHED_GAUSSIAN
from nondiff.agents.sb3.algorithms.off_policy import ActorCritic
from nondiff.errors import InvalidOptionError


@dataclass(frozen=True)
class LearnedEntropy(ActorCritic):
    """What the algorithms share that learn a weight of the entropy."""

    layout = SQUASHED_GAUSSIAN

    ent_coef: Annotated[str, "'auto', 'auto_INITIAL' or a number"] = "auto"
    """Weight of the entropy: learned ('auto', 'auto_0.1' from a start) or a number."""
    use_sde: bool = False
    """State-dependent exploration (gSDE)."""

    def check_hyperparameters(self) -> None:
        if not _is_entropy_coefficient(self.ent_coef):
            raise InvalidOptionError(
                f"{self.name}: ent_coef = {self.ent_coef!r} is none of 'auto', 'auto_' and an "
                "initial value above 0, or a number"
            )


def _is_entropy_coefficient(text: str) -> bool:
    learned = text.startswith("auto")
    try:
        value = float(text.removeprefix("auto_")) if text != "auto" else 1.0
    except ValueError:
        return False
    return 0 < value < math.inf if learned else 0 <= value < math.inf
