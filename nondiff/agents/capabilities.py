"""What an environment offers, which strategies that suits, and values out of their range."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from itertools import pairwise
from typing import Any

import gymnasium
from pydantic import TypeAdapter, ValidationError

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.strategy import Strategy
from nondiff.black_box import BlackBox, capabilities, find_black_box
from nondiff.errors import IncompatibleStrategyError, InvalidOptionError

LACKS = {
    "gradient of the reward": "has a reward without a gradient, as sparse rewards are",
    "black box": "is no black box in the sense of nondiff.black_box, or is in a wrapper",
    "vjp": "offers no hand-written vector-Jacobian product (`vjp`)",
    "twin": "offers no differentiable twin (`twin`)",
}

COPIES = {"net_arch": "n_critics", "surrogate_net_arch": "members"}  # of networks of these layers
MAX_WEIGHTS = 10**8  # between hidden layers: 0.4 GB, and four times as much in training
MAX_ROLLOUT = 10**7  # transitions between two updates


def check_values(config: Strategy) -> None:
    """Refuse hyperparameters out of their range, and sizes that are too large together.

    Raises:
        InvalidOptionError: names the hyperparameter and its value.
    """
    try:
        TypeAdapter(type(config)).validate_python(asdict(config))
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        raise InvalidOptionError(
            f"{config.name}: {option} = {first['input']!r}: {first['msg']}"
        ) from None
    for layers, copies in COPIES.items():
        sizes = getattr(config, layers, None) or ()
        weights = getattr(config, copies, 1) * sum(a * b for a, b in pairwise(sizes))
        check_product(config, (layers, copies), weights, MAX_WEIGHTS, "weights")
    rollout = getattr(config, "n_steps", 1) * getattr(config, "num_envs", 1)
    check_product(config, ("n_steps", "num_envs"), rollout, MAX_ROLLOUT, "transitions")


def check_product(
    config: Strategy, names: tuple[str, ...], found: int, most: int, what: str
) -> None:
    """Refuse hyperparameters that ask for more numbers or rows together than memory holds.

    Raises:
        InvalidOptionError: names those that there are, their values and the limit.
    """
    if found > most:
        values = ", ".join(f"{n} = {getattr(config, n)}" for n in names if hasattr(config, n))
        raise InvalidOptionError(
            f"{config.name}: {values}: {found:,} {what}, and at most {most:,} are possible"
        )


def offered(env: gymnasium.Env[Any, Any]) -> set[str]:
    """What an environment has of all that a strategy may need."""
    box = find_black_box(env)
    if box is None or not box.differentiable_reward:
        return set()
    return {"black box", *capabilities(box)}


def needed_black_box(config: Strategy, env: gymnasium.Env[Any, Any]) -> BlackBox:
    """The black box of an environment that has all that a strategy needs.

    Raises:
        IncompatibleStrategyError: it lacks something.
    """
    assert config.needs is not None
    have = offered(env)
    box = find_black_box(env)
    missing: str = config.needs
    if not have:
        missing = "black box" if box is None else "gradient of the reward"
    if missing not in have:
        raise IncompatibleStrategyError(
            f"{config.name} can't train here: {_name(env)} {LACKS[missing]}"
        )
    assert box is not None
    return box


def supported(env: gymnasium.Env[Any, Any]) -> list[str]:
    """The names of the strategies that an environment suits."""
    return [name for name in STRATEGIES if _suits(find_strategy(name), env)]


def _suits(kind: type[Strategy], env: gymnasium.Env[Any, Any]) -> bool:
    if kind.needs is not None:
        return kind.needs in offered(env)
    try:
        import_module(kind.trainer).check(kind(), env)
    except IncompatibleStrategyError:
        return False
    return True


def _name(env: gymnasium.Env[Any, Any]) -> str:
    """What it is called, and the arguments that are not those of its id."""
    spec = env.spec
    if spec is None:
        return type(env.unwrapped).__name__
    usual = gymnasium.registry[spec.id].kwargs if spec.id in gymnasium.registry else {}
    given = [f"{k}={v!r}" for k, v in spec.kwargs.items() if k not in usual or usual[k] != v]
    return f"{spec.id} with {', '.join(given)}" if given else spec.id
