"""Ascends the return through first-order expansions of the black box around its calls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nondiff.agents.iterations import (
    Learner,
    Tensors,
    device,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    under,
)
from nondiff.agents.pathwise.configs import Direct
from nondiff.agents.pathwise.operators import make_linearizer
from nondiff.agents.pathwise.rows import Rows
from nondiff.agents.strategy import Training
from nondiff.black_box import BlackBox, Meter

OPTIMIZER, EXPANSIONS = "optimizer", "expansions."
LAST_RATE = 0.02  # share of the learning rate at the end of the budget
REPLAYED = 256  # expansions a gradient step, beside the newest
LEASH = 100.0  # weight of the squared distance that an action goes beyond its trust


@dataclass
class Expansions(Rows):
    """The black box to first order around actions, one a row, float32.

    Args:
        context: (rows, context) of the episodes.
        state: (rows, state) of the episodes.
        action: (rows, action) that was taken.
        outcome: (rows, outcome) of it.
        jacobian: (rows, outcome, action) there.
    """

    context: Tensor
    state: Tensor
    action: Tensor
    outcome: Tensor
    jacobian: Tensor


class ExpansionLearner(Learner):
    """Each iteration calls the black box for some episodes, with Jacobians, and learns from all.

    The policy's action in an earlier episode is evaluated by the expansion around the action taken
    then, as long as it is near: a call is used many times, not once.
    """

    def __init__(
        self, config: Direct, box: BlackBox, module: nn.Module, training: Training
    ) -> None:
        super().__init__(module, training)
        self._config, self._box = config, box
        self.meter = self._meter = Meter(box, training.budget)
        self._linearize = make_linearizer(config, self._meter)
        self._optimizer = torch.optim.Adam(module.parameters(), config.learning_rate)
        self._expansions: Expansions | None = None
        space = box.action_space
        half = (space.high.astype(np.float64) - space.low).ravel() / 2
        self._half = torch.from_numpy(half).float().to(device(training))

    def iterate(self, rng: np.random.Generator) -> dict[str, float]:
        new = self._called(rng)
        self._expansions = new if self._expansions is None else self._expansions.and_also(new)
        self.calls = self._meter.calls
        share = 0.0
        if len(new):
            self._set_rate()
            for _ in range(self._config.reuse):
                share = self._ascend(self._expansions, len(new))
        metrics = {"train/trusted_share": share, "train/return_mean": self.mean_return or 0.0}
        return metrics | self._meter.ledger()

    def _called(self, rng: np.random.Generator) -> Expansions:
        """Call the black box and its Jacobian where the policy is; failures teach nothing."""
        rows = min(self._config.batch_size, self._meter.remaining() // self._linearize.cost)
        start = self._box.initial(rows, rng)
        state, context = torch.from_numpy(start.state), torch.from_numpy(start.context)
        with torch.no_grad():
            seen = self._box.observation(state, context).float().to(self._half.device)
            action = self.module(seen).cpu().double()
        outcome, slopes = map(torch.from_numpy, self._linearize(start.state, action.numpy()))
        good = torch.isfinite(outcome).all(dim=1)
        returns = torch.full((rows,), self._box.failure_reward, dtype=torch.float64)
        returns[good] = self._box.reward(*(p[good] for p in (state, action, outcome, context)))
        self.mean_return = float(returns.mean())
        known = good & torch.isfinite(slopes).all(dim=2).all(dim=1)
        found = (part[known] for part in (context, state, action, outcome, slopes))
        return Expansions(*(part.float().to(self._half.device) for part in found))

    def _set_rate(self) -> None:
        spent = self.calls / self.training.budget
        share = LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * min(1.0, spent))) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = share * self._config.learning_rate

    def _ascend(self, expansions: Expansions, newest: int) -> float:
        """A gradient step; returns the share of expansions near enough to be trusted."""
        count, at = len(expansions), self._half.device
        drawn = torch.randint(count, (min(REPLAYED, count),), device=at)
        chosen = torch.cat([drawn, torch.arange(count - newest, count, device=at)])
        near = expansions.chosen(chosen)
        action = self.module(self._box.observation(near.state, near.context).float())
        change = (action - near.action) / self._half
        trusted = change.detach().abs().amax(dim=1) < self._config.trust
        moved = torch.einsum("noa,na->no", near.jacobian, action - near.action)
        reward = self._box.reward(near.state, action, near.outcome + moved, near.context)
        beyond = torch.relu(change[-newest:].abs() - self._config.trust).square().sum(dim=1)
        loss = LEASH * beyond.mean() - (reward * trusted).sum() / trusted.sum().clamp_min(1)
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), self._config.max_grad_norm)
        self._optimizer.step()
        return float(trusted.float().mean())

    def is_over(self) -> bool:
        return self._meter.remaining() < self._linearize.cost

    def tensors(self) -> Tensors:
        kept = prefixed(EXPANSIONS, vars(self._expansions))
        return optimizer_tensors(OPTIMIZER, self._optimizer) | kept

    def restore(self, values: dict[str, Any], tensors: Tensors) -> None:
        restore_optimizer(OPTIMIZER, self._optimizer, tensors)
        kept = under(EXPANSIONS, tensors)
        self._expansions = Expansions(**kept).to(self._half.device)
