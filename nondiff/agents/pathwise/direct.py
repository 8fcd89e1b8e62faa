"""Ascends the return through the black box itself: manual, finite differences, autodiff."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from nondiff.agents.iterations import Learner, Tensors, device, optimizer_tensors, restore_optimizer
from nondiff.agents.pathwise.configs import Direct
from nondiff.agents.pathwise.operators import make_operator
from nondiff.agents.pathwise.rollout import rollout
from nondiff.agents.strategy import Training
from nondiff.envs.black_box import BlackBox, Meter

OPTIMIZER = "optimizer"


class DirectLearner(Learner):
    """Each iteration plays a batch of episodes and takes one step up their mean return."""

    def __init__(
        self, config: Direct, box: BlackBox, module: nn.Module, training: Training
    ) -> None:
        super().__init__(module, training)
        self._config = config
        self._meter = Meter(box, training.budget)
        self._operator = make_operator(config, self._meter)
        self._optimizer = torch.optim.Adam(module.parameters(), config.learning_rate)

    def iterate(self, rng: np.random.Generator) -> dict[str, float]:
        box, config = self._meter.box, self._config
        rows = self._meter.remaining() // self._operator.cost
        start = box.initial(min(config.batch_size, rows), rng)
        played = rollout(box, self._operator, self.module, start, device(self.training), rows)
        self._optimizer.zero_grad()
        (-played.returns.mean()).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), config.max_grad_norm)
        self._optimizer.step()
        self.calls = self._meter.calls
        if not played.is_cut:
            self.mean_return = float(played.returns.detach().mean())
        metrics = {} if played.is_cut else {"train/return_mean": self.mean_return or 0.0}
        return metrics | self._meter.ledger()

    def is_over(self) -> bool:
        return self._meter.remaining() < self._operator.cost

    def values(self) -> dict[str, Any]:
        return {"rows": dict(self._meter.rows)}

    def tensors(self) -> Tensors:
        return optimizer_tensors(OPTIMIZER, self._optimizer)

    def restore(self, values: dict[str, Any], tensors: Tensors) -> None:
        restore_optimizer(OPTIMIZER, self._optimizer, tensors)
        self._meter.go_on_from(self.calls, values["rows"])
