"""Read policies that Stable-Baselines3 saved: their weights and their plain JSON, no pickle."""

from __future__ import annotations

import inspect
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import torch
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from nondiff.agents.policies.network import non_finite_weight
from nondiff.agents.policies.spaces import from_json
from nondiff.agents.sb3.algorithms.on_policy import OnPolicy
from nondiff.agents.sb3.algorithms.reinforcement import Reinforcement
from nondiff.agents.sb3.exchange.architecture import check_sizes, policy_arguments
from nondiff.agents.sb3.exchange.archive import DATA, WEIGHTS, read_members
from nondiff.agents.sb3.exchange.printed_spaces import read_space
from nondiff.agents.sb3.exchange.statistics import read_normalizer
from nondiff.agents.sb3.exchange.weights import read_tensors
from nondiff.agents.sb3.library import algorithms, find_algorithm, library_class, saved_by
from nondiff.agents.sb3.policy import (
    MEAN,
    POLICY,
    VARIANCE,
    Normalizer,
    ReinforcementPolicy,
    rebuild,
)
from nondiff.errors import DamagedModelError, InvalidOptionError
from nondiff.files.kinds import UnsafePathError

UNREADABLE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    ValueError,  # or a DamagedModelError
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,  # zipfile's for an encrypted member
    SyntaxError,
    MemoryError,
)


def import_zip(
    path: Path,
    strategy: str,
    env: gymnasium.Env[Any, Any],
    statistics: Path | None = None,
    activation: str | None = None,
) -> ReinforcementPolicy:
    """Read a policy that Stable-Baselines3 or sb3-contrib saved; nothing in its files is executed.

    The layers are those of the tensors; kinds of spaces and arguments of the policy are what the
    zip says of them in plain JSON. Whether the policy's spaces are those of the environment is for
    the caller to check.

    Args:
        path: a zip of the algorithm's `save`.
        strategy: the name here of the algorithm that saved it.
        env: the environment of the policy: the zip holds bounds to eight digits, and those of the
            environment are taken where they are printed alike.
        statistics: a file of `VecNormalize.save`, if the policy was trained with it; only the zips
            of on-policy algorithms tell when it is missing.
        activation: the activation, where the zip does not name one of those known here.

    Raises:
        UnknownNameError: no such strategy.
        DamagedModelError: not such a file, of another strategy, or with a network that has no
            counterpart here.
        InvalidOptionError: the statistics are missing.
    """
    algorithm = find_algorithm(strategy)
    try:
        data, weights = read_members(path)
        _check_strategy(data, strategy)
    except UNREADABLE as error:
        raise _refusal(path, error) from error
    if statistics is None:
        _check_statistics(path, data, algorithm)
    normalizer = None if statistics is None else _normalizer(statistics)
    try:
        tensors = read_tensors(weights, WEIGHTS)
        description = _description(data, algorithm, tensors, env, activation)
        check_sizes(algorithm.layout, description, tensors)
        return _rebuilt(description, tensors, normalizer)
    except UNREADABLE as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: Exception) -> DamagedModelError:
    cause = error.strerror or error if isinstance(error, OSError) else error
    if isinstance(error, UnsafePathError):
        cause = f"it {error.strerror}"
    words = " ".join(str(cause).split()) or type(error).__name__
    return DamagedModelError(f"{path} can't be imported: {words}")


def _check_strategy(data: Mapping[str, Any], strategy: str) -> None:
    """Refuse the zip of another algorithm."""
    found = saved_by(data)
    if found != strategy:
        raise DamagedModelError(
            f"it is a model of {found}, not of {strategy}: say --strategy {found}"
            if found
            else f"it is a model of none of {', '.join(algorithms())}"
        )


def _check_statistics(path: Path, data: Mapping[str, Any], algorithm: type[Reinforcement]) -> None:
    """Refuse a policy whose observations were normalised, where the zip tells."""
    if issubclass(algorithm, OnPolicy) and data.get("_last_original_obs") is not None:
        raise InvalidOptionError(
            f"{path} was trained with VecNormalize: give what its `save` wrote with --statistics"
        )


def _normalizer(path: Path) -> Normalizer | None:
    try:
        return read_normalizer(path)
    except UNREADABLE as error:
        raise _refusal(path, error) from error


def _description(
    data: Mapping[str, Any],
    algorithm: type[Reinforcement],
    tensors: Mapping[str, Tensor],
    env: gymnasium.Env[Any, Any],
    activation: str | None,
) -> dict[str, Any]:
    """The description that `rebuild` takes and checks."""
    name, kind = _policy(_entry(data, "policy_class"), algorithm)
    given = _entry(data, "policy_kwargs")
    arguments = policy_arguments(kind, algorithm.layout, given, tensors, activation)
    if "use_sde" in inspect.signature(kind).parameters:
        arguments.setdefault("use_sde", data.get("use_sde"))
    return {
        "kind": "stable-baselines3",
        "strategy": algorithm.name,
        "policy": name,
        "arguments": arguments,
        "observation_space": _space(data, "observation_space", env),
        "action_space": _space(data, "action_space", env),
        "normalizer_clip": None,
        "normalizer_epsilon": None,
    }


def _entry(data: Mapping[str, Any], key: str) -> Any:
    if key not in data:
        raise DamagedModelError(f"its member {DATA} lacks {key!r}")
    return data[key]


def _policy(printed: Any, algorithm: type[Reinforcement]) -> tuple[str, type[BasePolicy]]:
    """Name and class of the policy: one of Stable-Baselines3's own, not one derived from it."""
    aliases: dict[str, type[BasePolicy]] = library_class(algorithm).policy_aliases
    known = printed if isinstance(printed, dict) else {}
    module, constructor = known.get("__module__"), str(known.get("__init__"))
    for name, kind in aliases.items():
        if module == kind.__module__ and constructor.startswith(
            f"<function {kind.__init__.__qualname__} at "
        ):
            return name, kind
    raise DamagedModelError(
        f"its policy, a class of {module} with the constructor {constructor}, is none of "
        f"{', '.join(aliases)}, and what another one computes is not in its weights"
    )


def _space(data: Mapping[str, Any], name: str, env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    printed = _entry(data, name)
    try:
        description = read_space(printed, getattr(env, name))
        from_json(description)
    except UNREADABLE as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise DamagedModelError(f"its {name} can't be read: {reason}") from error
    return description


def _rebuilt(
    description: dict[str, Any], tensors: Mapping[str, Tensor], normalizer: Normalizer | None
) -> ReinforcementPolicy:
    weights = {f"{POLICY}{name}": tensor for name, tensor in tensors.items()}
    if normalizer is not None:
        description |= {
            "normalizer_clip": normalizer.clip,
            "normalizer_epsilon": normalizer.epsilon,
        }
        for prefix, statistics in ((MEAN, normalizer.mean), (VARIANCE, normalizer.variance)):
            weights |= {prefix + key: torch.tensor(value) for key, value in statistics.items()}
    policy = rebuild(description, weights)
    name = non_finite_weight(policy.module)
    if name is not None:
        raise DamagedModelError(f"its weight {name} is NaN or infinite")
    return policy
