"""Which hyperparameters `tune.py` searches, and in which ranges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import optuna

from nondiff.agents.strategy import Strategy

S = TypeVar("S", bound=Strategy)
Range = tuple[float, float]  # on a logarithmic scale
Choices = list[Any]

EVERY: dict[str, Range | Choices] = {
    "learning_rate": (2e-4, 5e-3),
    "gamma": [0.7, 0.8, 0.9, 0.95, 0.98],
    "net_arch": [(64, 64), (128, 128), (256, 256), (256, 256, 256)],
}
OFF_POLICY: dict[str, Range | Choices] = {
    "batch_size": [128, 256, 512],
    "gradient_steps": [1, 2, 4, 8],
    "tau": [0.005, 0.01, 0.02, 0.05],
    "n_sampled_goal": [2, 4, 8],
}
ENTROPY: dict[str, Range | Choices] = {"ent_coef": ["auto", "auto_0.1", "auto_0.02"]}
ON_POLICY: dict[str, Range | Choices] = {
    "n_steps": [32, 64, 128, 256],
    "gae_lambda": [0.8, 0.9, 0.95],
    "log_std_init": [-1.0, -0.7, -0.3, 0.0],
}
MINIBATCHES: dict[str, Range | Choices] = {"batch_size": [64, 128, 256, 512]}
SPACES: dict[str, dict[str, Range | Choices]] = {
    "ppo": EVERY | ON_POLICY | MINIBATCHES | {"n_epochs": [5, 10, 20]},
    "trpo": EVERY | ON_POLICY | MINIBATCHES | {"target_kl": (0.01, 0.1)},
    "a2c": EVERY | ON_POLICY,
    "sac": EVERY | OFF_POLICY | ENTROPY,
    "td3": EVERY | OFF_POLICY | {"action_noise": [0.05, 0.1, 0.2, 0.4]},
    "tqc": EVERY | OFF_POLICY | ENTROPY,
}


def suggested(trial: optuna.trial.BaseTrial, strategy: S) -> S:
    """A strategy with what a trial draws; the rest stays."""
    drawn: dict[str, Any] = {}
    for name, values in SPACES[strategy.name].items():
        if isinstance(values, tuple):
            drawn[name] = float(f"{trial.suggest_float(name, *values, log=True):.2g}")
        else:
            chosen = trial.suggest_categorical(name, [as_text(value) for value in values])
            drawn[name] = next(value for value in values if as_text(value) == chosen)
    return replace(strategy, **drawn)


def drawing(strategy: Strategy) -> dict[str, Any]:
    """What a trial would have to draw for this strategy, as far as it lies in the ranges."""
    found: dict[str, Any] = {}
    for name, values in SPACES[strategy.name].items():
        value = getattr(strategy, name)
        if isinstance(values, tuple):
            found |= {name: value} if values[0] <= value <= values[1] else {}
        elif value in values:
            found[name] = as_text(value)
    return found


def as_text(value: Any) -> Any:
    """A choice as Optuna keeps it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else value
