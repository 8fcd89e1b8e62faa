"""A model on disk: a JSON description and weights, from which its policy is rebuilt."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nondiff.agents.policies.storage import Layout, is_written, read, write
from nondiff.agents.strategy import TrainedPolicy
from nondiff.errors import DamagedModelError
from nondiff.files.safe_path import SafePath

if TYPE_CHECKING:
    from torch import Tensor

MODEL = Layout(
    "model", "nondiff-model-1", "model.json", "weights.safetensors", 2**31, DamagedModelError
)

# Which function rebuilds a policy from its description and tensors, by the description's `kind`.
LOADERS = {
    "stable-baselines3": "nondiff.agents.sb3.policy:rebuild",
    "network": "nondiff.agents.policies.network:rebuild",
}


def save_policy(policy: TrainedPolicy, folder: Path | str | SafePath) -> None:
    """Write a policy to a new folder, atomically.

    Raises:
        OSError: the disk is full, or the folder exists.
    """
    write(MODEL, SafePath.of_file(folder), policy.description(), policy.tensors())


def is_saved(policy: TrainedPolicy, folder: SafePath) -> bool:
    """Whether a folder holds exactly what `save_policy` would write."""
    return is_written(MODEL, folder, policy.description(), policy.tensors())


def load_policy(folder: Path | str | SafePath) -> TrainedPolicy:
    """Load a policy, which predicts byte for byte like the one that was saved.

    Raises:
        DamagedModelError: a file is missing or altered, or this is not a model of ours.
    """
    description, tensors = read(MODEL, SafePath.of_folder(folder))
    try:
        return _rebuild(description, tensors)
    except (ValueError, RecursionError) as error:  # or a DamagedModelError
        raise DamagedModelError(f"{folder} is not a model of ours: {error}") from error


def _rebuild(description: Any, tensors: dict[str, Tensor]) -> TrainedPolicy:
    kind = description.get("kind") if isinstance(description, dict) else None
    if not isinstance(kind, str) or kind not in LOADERS:
        raise DamagedModelError(f"model of unknown kind {kind!r}; known: {', '.join(LOADERS)}")
    module, _, function = LOADERS[kind].partition(":")
    policy: TrainedPolicy = getattr(import_module(module), function)(description, tensors)
    return policy
