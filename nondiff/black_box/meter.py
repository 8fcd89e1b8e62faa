"""Count the calls of a black box, and enforce the budget."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from nondiff.black_box.contract import (
    Array,
    BlackBox,
    HasJacobian,
    HasTwin,
    HasVjp,
    failed_rows,
)
from nondiff.errors import EnvironmentFailedError, NondiffError
from nondiff.gym.copying import DeepCopied
from nondiff.processes.cpu_time import cpu_seconds


class BudgetSpentError(NondiffError, RuntimeError):
    """A call that would exceed the budget; it is not made."""


class Meter(DeepCopied):
    """Wraps a black box so that a strategy makes no uncounted call.

    Args:
        box: the black box.
        budget: maximum number of calls; None: no limit.

    Attributes:
        calls: calls charged so far.
        rows: rows by kind: transition, failed, vjp, jacobian, twin.
        cpu_seconds: CPU time by kind, of this process and the programs that it runs [s].
    """

    def __init__(self, box: BlackBox, budget: int | None = None) -> None:
        self.box = box
        self.budget = budget
        self.calls = 0
        self.rows: Counter[str] = Counter()
        self.cpu_seconds: defaultdict[str, float] = defaultdict(float)

    def remaining(self) -> int:
        """The calls left; a very large number without a budget."""
        return 2**62 if self.budget is None else self.budget - self.calls

    def transition(self, state: Array, action: Array) -> Array:
        """Call `BlackBox.transition`, and check the outcomes.

        Raises:
            BudgetSpentError: the rows would exceed the budget; none is run.
            EnvironmentFailedError: the outcomes have another shape than (n, outcome).
        """
        with self._charged("transition", len(action), 1):
            outcome = np.asarray(self.box.transition(state, action), np.float64)
        if outcome.ndim != 2 or len(outcome) != len(action):
            raise EnvironmentFailedError(
                f"{type(self.box).__name__}.transition gave an array of shape {outcome.shape} for "
                f"{len(action)} actions; one row for each is needed, NaN where it failed"
            )
        failed = failed_rows(outcome)
        self.rows["failed"] += int(failed.sum())
        outcome[failed] = np.nan  # a row fails as a whole
        return outcome

    def vjp(
        self, state: Array, action: Array, outcome: Array, cotangent: Array
    ) -> tuple[Array, Array]:
        """Call `HasVjp.vjp`."""
        assert isinstance(self.box, HasVjp)
        with self._charged("vjp", len(action), self.box.vjp_cost):
            return self.box.vjp(state, action, outcome, cotangent)

    def jacobian(self, state: Array, action: Array, outcome: Array) -> Array:
        """Call `HasJacobian.jacobian`."""
        assert isinstance(self.box, HasJacobian)
        with self._charged("jacobian", len(action), self.box.jacobian_cost):
            return self.box.jacobian(state, action, outcome)

    def twin(self, state: Tensor, action: Tensor) -> Tensor:
        """Call `HasTwin.twin`; each row costs at least one call, so that budgets are comparable.

        The caller measures the time of the backward pass.
        """
        assert isinstance(self.box, HasTwin)
        with self._charged("twin", len(action), max(1, self.box.twin_cost)):
            outcome = self.box.twin(state, action)
        failed = ~torch.isfinite(outcome.detach()).all(dim=1)
        self.rows["failed"] += int(failed.sum())
        return outcome

    def ledger(self) -> dict[str, float]:
        """Calls and rows as metrics; without seconds, which differ between machines."""
        rows = {f"meter/{kind}_rows": float(count) for kind, count in self.rows.items()}
        return {"meter/calls": float(self.calls)} | rows

    def resume_from(self, calls: int, rows: Mapping[str, int]) -> None:
        """Restore the counts of an interrupted training."""
        self.calls = calls
        self.rows = Counter(rows)

    @contextmanager
    def _charged(self, kind: str, rows: int, cost: int) -> Iterator[None]:
        if rows * cost > self.remaining():
            raise BudgetSpentError(
                f"{rows} rows of {kind} at {cost} calls each exceed the budget: "
                f"{self.remaining()} of {self.budget} calls are left"
            )
        self.calls += rows * cost
        self.rows[kind] += rows
        started = cpu_seconds()
        try:
            yield
        finally:
            self.cpu_seconds[kind] += cpu_seconds() - started
