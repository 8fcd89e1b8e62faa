"""An observer that keeps what a training shows it, and a call that trains with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nondiff.agents import find_strategy
from nondiff.agents.strategy import EndReason, Strategy, TrainedPolicy, Training
from nondiff.env_recipe import EnvRecipe


@dataclass
class Watcher:
    """Asks for the policy every so many steps, and ends training once `solved` says so."""

    every: int | None = None
    solved: Callable[[TrainedPolicy], bool] | None = None
    steps: int = 0
    evaluated: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)

    def begin(self, steps: int, evaluated: bool = True) -> bool:
        self.steps = steps
        return False

    def after_step(self, steps: int, mean_return: float | None, success: float | None) -> bool:
        self.steps = steps
        return self.every is not None and steps % self.every == 0

    def evaluate(self, steps: int, policy: TrainedPolicy) -> EndReason | None:
        self.keep(steps, policy)
        return "success" if self.solved and self.solved(policy) else None

    def keep(self, steps: int, policy: TrainedPolicy) -> None:
        self.evaluated.append((steps, policy.tensors()))

    def record(self, steps: int, metrics: Mapping[str, float]) -> None:
        self.metrics.append(dict(metrics))

    def note(self, text: str) -> None:
        """What is noted is tested where it is shown."""


QUICK: dict[str, dict[str, Any]] = {
    "surrogate": {
        "rounds": 3,
        "surrogate_steps": 40,
        "policy_steps": 40,
        "final_policy_steps": 60,
        "surrogate_net_arch": (32, 32),
        "batch_size": 64,
    },
    "cma-es": {"population": 6, "episodes": 1, "most_steps": 10},
}
NETWORKS = ("surrogate", "manual", "finite-difference", "autodiff", "cma-es")


def quick(name: str, **options: Any) -> Strategy:
    """A strategy with a small network and, where it has a say, few steps."""
    small = {"net_arch": (8,)} if name in NETWORKS else {}
    return find_strategy(name)(**(small | QUICK.get(name, {}) | options))


def trained(
    strategy: Strategy | str,
    env_id: str,
    budget: int,
    seed: int = 0,
    watcher: Watcher | None = None,
    **arguments: Any,
) -> TrainedPolicy:
    """The policy that a strategy, or the defaults of a strategy's name, trains."""
    chosen = find_strategy(strategy)() if isinstance(strategy, str) else strategy
    recipe = EnvRecipe(env_id, arguments)
    return chosen.train(Training(recipe, budget, seed), watcher or Watcher())
