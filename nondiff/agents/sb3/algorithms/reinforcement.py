"""Hyperparameters that all algorithms share, under Stable-Baselines3's own names.

Defaults are Stable-Baselines3's. Importing this module does not import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le
from gymnasium import spaces

from nondiff.agents.hyperparameters import CountOrNone, Layers, Positive, Share
from nondiff.agents.sb3.algorithms.layout import Layout
from nondiff.agents.seeds import MAX_ENVS
from nondiff.agents.strategy import Strategy

ImitationError = Literal["squared", "absolute"]


@dataclass(frozen=True)
class Reinforcement(Strategy):
    """What all algorithms share."""

    trainer = "nondiff.agents.sb3.training"
    library: ClassVar[str]  # module:class of the algorithm
    layout: ClassVar[Layout]  # of its policies
    # Entries of the plain JSON in a zip that tell whose it is, alone or with their values.
    saved: ClassVar[tuple[str | tuple[str, float], ...]]
    counters: ClassVar[tuple[str, ...]] = ()  # numbers of its own that change in a training
    acts_in: ClassVar[tuple[type[spaces.Space[Any]], ...]] = (
        *(spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary),
    )

    learning_rate: Positive = 3e-4
    """Step size of the optimiser."""
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """Kept, or lowered linearly to zero at the end of the budget."""
    gamma: Share = 0.99
    """Discount factor."""
    network: Literal["stable-baselines3", "nondiff"] = "stable-baselines3"
    """Whose network acts: Stable-Baselines3's own for the algorithm, or the one that the other
    strategies train, so that they can be compared. Critics are always Stable-Baselines3's."""
    net_arch: Layers | None = None
    """Sizes of the hidden layers; None: the algorithm's own."""
    activation: Literal["tanh", "relu", "elu", "leaky_relu", "silu"] | None = None
    """Activation function; None: the algorithm's own."""
    num_envs: Annotated[int, Ge(1), Le(MAX_ENVS)] = 1
    """Environments stepped at once."""
    vec_env: Literal["serial", "batched", "processes"] = "serial"
    """Step them one after another in this process; or by one call, where the environment has a
    vectorised form; or each in a process of its own, which is restarted if it dies or hangs."""
    worker_timeout: Positive = 300.0
    """Seconds after which an environment in a process of its own counts as hung."""
    worker_restarts: CountOrNone = 3
    """Times that the process of an environment is restarted before training stops."""
    normalize_observation: bool = False
    """Scale observations by running statistics, which are kept with the model; with demonstrations,
    by theirs."""
    normalize_reward: bool = False
    """Scale training rewards by the running deviation of the return."""
    demonstrations: str | None = None
    """Folder of a Minari dataset to learn from too, as `nondiff demonstrate` writes it."""

    def check_hyperparameters(self) -> None:
        """Refuse values that do not fit each other, or that types and ranges do not tell.

        Raises:
            InvalidOptionError: names the hyperparameter and its value.
        """


@dataclass(frozen=True)
class Imitating(Reinforcement):
    """What the algorithms share whose policy is a network that gives actions."""

    warm_start_steps: CountOrNone = 2_000
    """Gradient steps in which the policy imitates the demonstrations, before the environments'
    first step."""
    imitation_error: ImitationError = "squared"
    """What imitation makes small, of continuous actions. Where demonstrations differ, "squared"
    takes their mean, which may be neither way round an obstacle; "absolute" their median, which is
    the more frequent one (as in arXiv:2304.13705)."""
