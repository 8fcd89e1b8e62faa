"""Ascends the return through the black box itself: manual, finite differences, autodiff."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from nondiff.agents.iterations import Learner, Tensors, device, optimizer_tensors, restore_optimizer
from nondiff.agents.pathwise.configs import Direct
from nondiff.agents.pathwise.operators import make_operator
from nondiff.agents.rollout import Rollout, rollout
from nondiff.agents.strategy import Training
from nondiff.black_box import BlackBox, Meter, Start

OPTIMIZER = "optimizer"


class DirectLearner(Learner):
    """Each iteration plays a batch of episodes, a gradient step each time they are unrolled."""

    def __init__(
        self, config: Direct, box: BlackBox, module: nn.Module, training: Training
    ) -> None:
        super().__init__(module, training)
        self._config = config
        self.meter = self._meter = Meter(box, training.budget)
        self._operator = make_operator(config, self._meter)
        self._optimizer = torch.optim.Adam(module.parameters(), config.learning_rate)

    def iterate(self, rng: np.random.Generator) -> dict[str, float]:
        box, config = self._meter.box, self._config
        rows = self._meter.remaining() // self._operator.cost
        episodes = min(config.batch_size, rows)
        left: Start | None = box.initial(episodes, rng)
        total, steps, is_cut = 0.0, 0, False
        while left is not None and steps < box.horizon and not is_cut:
            played = self._ascend(left, min(config.unroll, box.horizon - steps))
            total += float(played.returns.detach().sum())
            left, steps, is_cut = played.left, steps + config.unroll, played.is_cut
            self.calls = self._meter.calls
            self.progress()
        metrics = self._meter.ledger()
        if not is_cut:
            self.mean_return = total / episodes
            metrics["train/return_mean"] = self.mean_return
        return metrics

    def _ascend(self, start: Start, steps: int) -> Rollout:
        """Play on for some steps, and take a step up the gradient of what they returned."""
        rows = self._meter.remaining() // self._operator.cost
        at = device(self.training)
        box, module = self._meter.box, self.module
        played = rollout(box, self._operator, module, start, at, rows, steps)
        if played.transitions:
            self._optimizer.zero_grad()
            (-played.returns.mean()).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), self._config.max_grad_norm)
            self._optimizer.step()
        return played

    def is_over(self) -> bool:
        return self._meter.remaining() < self._operator.cost

    def tensors(self) -> Tensors:
        return optimizer_tensors(OPTIMIZER, self._optimizer)

    def restore(self, values: dict[str, Any], tensors: Tensors) -> None:
        restore_optimizer(OPTIMIZER, self._optimizer, tensors)
