"""The hyperparameters of evolution; importing this module loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from nondiff.agents.hyperparameters import (
    Count,
    Layers,
    Positive,
    Several,
)
from nondiff.agents.strategy import Strategy

MAX_SEARCHED = 5_000  # weights with a full matrix, whose eigenvectors take a minute then


@dataclass(frozen=True)
class CMAES(Strategy):
    """Covariance matrix adaptation (Hansen 2016, arXiv:1604.00772) of the policy's weights.

    The full matrix up to `full_up_to` weights, beyond it the separable variant (Ros and Hansen
    2008, doi:10.1007/978-3-540-87700-4_30).
    """

    name = "cma-es"
    trainer = "nondiff.agents.evolution.search"
    checkpoint_every: ClassVar[int] = 1_000

    sigma: Positive = 0.1
    """Initial deviation of the weights."""
    population: Several | None = None
    """Candidates a generation; None: 4 + 3 ln(number of weights)."""
    episodes: Count = 4
    """Episodes on which a candidate is evaluated, the same for all of a generation."""
    most_steps: Count = 1_000
    """Steps after which such an episode is truncated."""
    full_up_to: Annotated[int, Ge(0), Le(MAX_SEARCHED)] = 300
    """Largest number of weights for which the full covariance matrix is kept."""
    net_arch: Layers = (128, 128)
    """Sizes of the policy's hidden layers."""
    activation: Literal["silu", "tanh", "relu", "elu", "leaky_relu"] = "silu"
    """Activation function of the policy."""
