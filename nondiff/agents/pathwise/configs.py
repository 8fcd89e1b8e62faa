"""The hyperparameters of the pathwise strategies; importing this module loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt, Le

from nondiff.agents.hyperparameters import (
    Count,
    Layers,
    Networks,
    NonNegative,
    Positive,
    Rows,
)
from nondiff.agents.strategy import Strategy

Share = Annotated[float, Gt(0), Le(1)]
Activation = Literal["silu", "tanh", "relu", "elu", "leaky_relu"]


@dataclass(frozen=True)
class Pathwise(Strategy):
    """What all pathwise strategies share."""

    trainer = "nondiff.agents.pathwise.trainer"
    checkpoint_every: ClassVar[int] = 200  # calls: each is worth more than a step of other kinds

    learning_rate: Positive = 2e-3
    """Step size of the policy's optimiser (Adam)."""
    net_arch: Layers = (128, 128)
    """Sizes of the policy's hidden layers."""
    activation: Activation = "silu"
    """Activation function of the policy."""
    max_grad_norm: Positive = 10.0
    """The policy's gradients are clipped to this norm."""


@dataclass(frozen=True)
class Surrogate(Pathwise):
    """A neural surrogate of the black box, frozen while the policy is trained through it.

    The surrogate learns the vector outcome from (state, action) pairs, with the black box's
    Jacobians where it has them (Czarnecki et al. 2017, Sobolev training, arXiv:1706.04859), and
    the probability that a row fails. Active: it is fitted again after each of several rounds of
    calls around the present policy, so that it is right where the policy goes.
    """

    name = "surrogate"
    needs = "black box"

    active: bool = True
    """Call the black box around the policy in rounds; otherwise once, at random, beforehand."""
    jacobians: bool | None = None
    """Fit the black box's hand-written Jacobians too, each charged its declared calls; None: where
    there are any and episodes have one step."""
    rounds: Count = 10
    """Rounds of calls around the policy."""
    initial_share: Share = 0.2
    """Share of the budget spent at random actions first."""
    initial_deviation: Positive = 0.3
    """Deviation of those actions from the Box's centre, in halves of its width."""
    exploration: NonNegative = 0.1
    """Deviation of actions from the policy's in the first round, in halves of the Box's width; it
    falls linearly to zero."""
    surrogate_net_arch: Layers = (128, 128, 128)
    """Sizes of the surrogate's hidden layers."""
    members: Networks = 1
    """Surrogates, each begun at other weights; the policy trusts them as far as they agree."""
    disagreement: NonNegative = 1.0
    """Weight of their disagreement, in deviations of the outcome, in the policy's loss."""
    surrogate_learning_rate: Positive = 2e-3
    """Step size of the surrogate's optimiser (Adam), falling along a cosine in each fit."""
    surrogate_steps: Count = 300
    """Gradient steps of the surrogate a round; four times as many in the last."""
    surrogate_batch_size: Rows = 128
    """Rows a gradient step of the surrogate."""
    jacobian_weight: NonNegative = 1.0
    """Weight of the Jacobians' error beside the outcomes'."""
    policy_steps: Count = 300
    """Gradient steps of the policy a round."""
    final_policy_steps: Count = 1500
    """Gradient steps of the policy after the last fit."""
    batch_size: Rows = 256
    """Episodes a gradient step of the policy."""
    unroll: Count = 5
    """Transitions that the surrogate is asked to imagine in a row, from a state of the data."""


@dataclass(frozen=True)
class Direct(Pathwise):
    """What the strategies share that differentiate the black box itself.

    In one-step episodes a call is used many times: as a first-order expansion around its action.
    """

    batch_size: Rows = 16
    """Episodes an iteration."""
    unroll: Count = 16
    """Transitions of each episode between gradient steps, which are differentiated together."""
    reuse: Count = 60
    """Gradient steps an iteration on first-order expansions around all calls so far, where whole
    Jacobians are to be had and episodes have one step; 1: each call is used once."""
    trust: Positive = 0.1
    """How far an action may be from where it was expanded, in halves of the Box's width."""


@dataclass(frozen=True)
class Manual(Direct):
    """The black box's hand-written vector-Jacobian product, or its Jacobian."""

    name = "manual"
    needs = "vjp"


@dataclass(frozen=True)
class FiniteDifference(Direct):
    """Central differences of the black box: two calls more for each entry of state and action."""

    name = "finite-difference"
    needs = "black box"

    batch_size: Rows = 4
    """Episodes an iteration."""
    step: Positive = 1e-3
    """Step of the differences, in halves of the Box's width, and as a share of a state's size."""


@dataclass(frozen=True)
class Autodiff(Direct):
    """Automatic differentiation of the black box's twin."""

    name = "autodiff"
    needs = "twin"
