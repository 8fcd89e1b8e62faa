"""Reads policies that Stable-Baselines3 saved, which executes pickles as its own `load` does.

Such a zip can run any code on this machine.
"""

from __future__ import annotations

import base64
import inspect
import io
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from nondiff.agents.policies.network import non_finite_weight
from nondiff.agents.policies.spaces import to_json
from nondiff.agents.sb3.algorithms import ACTIVATIONS, ALGORITHMS
from nondiff.agents.sb3.exchange.archive import DATA, WEIGHTS, read_members
from nondiff.agents.sb3.policy import (
    MEAN,
    POLICY,
    VARIANCE,
    Normalizer,
    PolicyArguments,
    ReinforcementPolicy,
    rebuild,
)
from nondiff.errors import DamagedModelError, InvalidOptionError, UnknownNameError
from nondiff.files.inputs import read_input
from nondiff.files.kinds import UnsafePathError

LARGEST_STATISTICS = 2**26  # [bytes]

# What only a zip of this strategy's algorithm records, the first that fits.
TELLTALES = {
    "tqc": "top_quantiles_to_drop_per_net",
    "trpo": "cg_max_steps",
    "ppo": "clip_range",
    "td3": "target_policy_noise",
    "sac": "target_entropy",
    "a2c": "normalize_advantage",
}
PICKLED = ":serialized:"  # under this key, `data` holds a pickle in base64
ONLY_FOR_TRAINING = ("optimizer_class", "optimizer_kwargs", "ortho_init")
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
    RuntimeError,  # zipfile's for an encrypted member, or too deep JSON
)


def import_zip(path: Path, strategy: str, statistics: Path | None = None) -> ReinforcementPolicy:
    """Read a policy that Stable-Baselines3 or sb3-contrib saved.

    This EXECUTES what the zip and the statistics hold as pickles, which may be anything: call it
    only for files whose maker is trusted, and after whoever asks for it has been told so.

    Args:
        path: a zip of the algorithm's `save`.
        strategy: the name here of the algorithm that saved it.
        statistics: a pickle of `VecNormalize.save`, if the policy was trained with it; only the
            zips of on-policy algorithms tell when it is missing.

    Raises:
        UnknownNameError: no such strategy.
        DamagedModelError: not such a file, of another strategy, or with a network that has no
            counterpart here.
        InvalidOptionError: the statistics are missing.
    """
    if strategy not in ALGORITHMS:
        raise UnknownNameError("strategy", strategy, ALGORITHMS)
    try:
        data, weights = read_members(path)
        _check_strategy(data, strategy)
    except UNREADABLE as error:
        raise _refusal(path, error) from error
    if statistics is None:
        _check_statistics(path, data, strategy)
    normalizer = None if statistics is None else _read_normalizer(statistics)
    try:
        description = _description(data, strategy, normalizer)
        policy = rebuild(description, _tensors(weights, normalizer))
        _check_weights(policy)
        return policy
    except UNREADABLE as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: Exception) -> DamagedModelError:
    cause = error.strerror or error if isinstance(error, OSError) else error
    words = " ".join(str(cause).split()) or type(error).__name__
    return DamagedModelError(f"{path} can't be imported: {words}")


def _check_strategy(data: Mapping[str, Any], strategy: str) -> None:
    """Refuse the zip of another algorithm, before any pickle in it is executed."""
    found = next((name for name, mark in TELLTALES.items() if mark in data), None)
    if found != strategy:
        raise DamagedModelError(
            f"it is a model of {found}, not of {strategy}: say --strategy {found}"
            if found
            else f"it is a model of none of {', '.join(ALGORITHMS)}"
        )


def _check_statistics(path: Path, data: Mapping[str, Any], strategy: str) -> None:
    """Refuse a policy whose observations were normalised, where the zip tells."""
    on_policy = issubclass(ALGORITHMS[strategy], OnPolicyAlgorithm)
    if on_policy and data.get("_last_original_obs") is not None:
        raise InvalidOptionError(
            f"{path} was trained with VecNormalize: give what its `save` wrote with --statistics"
        )


def _description(
    data: Mapping[str, Any], strategy: str, normalizer: Normalizer | None
) -> dict[str, Any]:
    """The description that `rebuild` takes and checks."""
    policy = _unpickled(data, "policy_class")
    aliases = ALGORITHMS[strategy].policy_aliases
    names = [name for name, known in aliases.items() if known is policy]
    if not names:
        raise DamagedModelError(f"its policy {policy} is none of {', '.join(aliases)}")
    arguments = _arguments(policy, _unpickled(data, "policy_kwargs"))
    if "use_sde" in inspect.signature(policy).parameters:
        arguments.setdefault("use_sde", data.get("use_sde"))
    return {
        "kind": "stable-baselines3",
        "strategy": strategy,
        "policy": names[0],
        "arguments": arguments,
        "observation_space": to_json(_unpickled(data, "observation_space")),
        "action_space": to_json(_unpickled(data, "action_space")),
        "normalizer_clip": normalizer and float(normalizer.clip),
        "normalizer_epsilon": normalizer and float(normalizer.epsilon),
    }


def _unpickled(data: Mapping[str, Any], key: str) -> Any:
    """What the member `data` holds under a key: plain JSON, or a pickle, which is executed."""
    if key not in data:
        raise DamagedModelError(f"its member {DATA} lacks {key!r}")
    value = data[key]
    if not (isinstance(value, dict) and PICKLED in value):
        return value
    try:
        return pickle.loads(base64.b64decode(value[PICKLED]))  # noqa: S301 - the caller was told
    except Exception as error:  # anything, as the pickle is anything
        raise DamagedModelError(
            f"its {key} can't be unpickled here ({error!r}); load it with the release of "
            "Stable-Baselines3 that saved it, and save it again with the present one"
        ) from error


def _arguments(policy: type, given: Any) -> dict[str, Any]:
    """The arguments of a policy as `PolicyArguments` has them.

    Raises:
        DamagedModelError: one that has no counterpart there, and is not at its default.
    """
    defaults = {name: p.default for name, p in inspect.signature(policy).parameters.items()}
    if not isinstance(given, dict):
        raise DamagedModelError("its policy_kwargs are not a dictionary")
    arguments = {}
    for name, value in given.items():
        if name in PolicyArguments.model_fields:
            arguments[name] = _argument(name, value)
        elif name not in ONLY_FOR_TRAINING and not _is_same(value, defaults.get(name)):
            raise DamagedModelError(
                f"its policy argument {name} = {value!r} has no counterpart here; what has: "
                f"{', '.join(PolicyArguments.model_fields)}"
            )
    return arguments


def _argument(name: str, value: Any) -> Any:
    if name == "activation_fn":
        names = [name for name, known in ACTIVATIONS.items() if known is value]
        if not names:
            raise DamagedModelError(f"its activation {value} is none of {', '.join(ACTIVATIONS)}")
        return names[0]
    if name == "net_arch" and isinstance(value, dict):
        layers = [list(sizes) for sizes in value.values()]
        if len(layers) != 2 or layers[0] != layers[1]:
            raise DamagedModelError(
                f"its net_arch = {value} has no counterpart here: actor and critic must have the "
                "same layers"
            )
        return layers[0]
    return list(value) if isinstance(value, tuple) else value


def _is_same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def _tensors(weights: bytes, normalizer: Normalizer | None) -> dict[str, Tensor]:
    """The tensors that `rebuild` takes, by its names."""
    try:
        found = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's own and pickle's, among others
        raise DamagedModelError(f"its member {WEIGHTS} can't be read as tensors") from error
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise DamagedModelError(f"its member {WEIGHTS} holds something else than tensors")
    tensors = {f"{POLICY}{name}": tensor for name, tensor in found.items()}
    if normalizer is not None:
        for prefix, statistics in ((MEAN, normalizer.mean), (VARIANCE, normalizer.variance)):
            tensors |= {prefix + key: torch.tensor(value) for key, value in statistics.items()}
    return tensors


def _check_weights(policy: ReinforcementPolicy) -> None:
    name = non_finite_weight(policy.module)
    if name is not None:
        raise DamagedModelError(f"its weight {name} is NaN or infinite")


def _read_normalizer(path: Path) -> Normalizer | None:
    """The statistics in a pickle of `VecNormalize`, which is executed; None: of rewards only."""
    try:
        content = read_input(path, LARGEST_STATISTICS)
        env = pickle.loads(content)  # noqa: S301 - the caller was told
        if type(env) is not VecNormalize:  # another kind may normalise otherwise
            raise DamagedModelError(f"it holds no VecNormalize, but {type(env)}")
        return Normalizer.of(env) if env.norm_obs else None
    except UnsafePathError as error:
        raise _refusal(path, DamagedModelError(f"it {error.strerror}")) from error
    except Exception as error:  # anything, as the pickle is anything
        raise _refusal(path, error) from error
