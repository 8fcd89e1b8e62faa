"""Truncated quantile critics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from nondiff.agents.hyperparameters import Count, CountOrNone, Networks
from nondiff.agents.sb3.algorithms.learned_entropy import LearnedEntropy
from nondiff.agents.sb3.algorithms.off_policy import Hindsight, TargetNetworks
from nondiff.errors import InvalidOptionError


@dataclass(frozen=True)
class TQC(TargetNetworks, Hindsight, LearnedEntropy):
    """Truncated quantile critics (Kuznetsov et al. 2020, arXiv:2005.04269)."""

    name = "tqc"
    library = "sb3_contrib:TQC"
    saved = ("target_entropy", "target_update_interval", "top_quantiles_to_drop_per_net")

    target_update_interval: Count = 1
    """Gradient steps between updates of the target networks."""
    top_quantiles_to_drop_per_net: CountOrNone = 2
    """Highest quantiles left out of each critic's target."""
    n_quantiles: Annotated[int, Ge(1), Le(1_000)] = 25
    """Quantiles a critic; each is compared with all others."""
    n_critics: Networks = 2
    """Critics."""

    def check_hyperparameters(self) -> None:
        super().check_hyperparameters()
        if self.top_quantiles_to_drop_per_net >= self.n_quantiles:
            raise InvalidOptionError(
                f"{self.name}: top_quantiles_to_drop_per_net = "
                f"{self.top_quantiles_to_drop_per_net} leaves none of {self.n_quantiles} quantiles"
            )
