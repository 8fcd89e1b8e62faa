"""A model on disk: a JSON description, safetensors, and a manifest of checksums.

Nothing in it is executed on loading, so a stranger's model is safe to open.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from nondiff.agents.strategy import TrainedPolicy
from nondiff.envs.errors import DamagedModelError

DESCRIPTION = "model.json"
TENSORS = "weights.safetensors"
MANIFEST = "manifest.json"
LARGEST_FILE = 2**31  # [bytes]

# Which function rebuilds a policy from its description and tensors, by the description's `kind`.
LOADERS = {"stable-baselines3": "nondiff.agents.reinforcement.policy:rebuild"}


def save_policy(policy: TrainedPolicy, folder: Path) -> None:
    """Write a policy to a new folder, which appears whole or not at all.

    Raises:
        OSError: the disk is full, or the folder exists.
    """
    description = json.dumps(policy.description(), indent=1, sort_keys=False).encode()
    tensors = {name: tensor.contiguous().cpu() for name, tensor in policy.tensors().items()}
    contents = {DESCRIPTION: description, TENSORS: safetensors.torch.save(tensors)}
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, data in (contents | {MANIFEST: _manifest(contents)}).items():
            _write_durably(temporary / name, data)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load_policy(folder: Path | str) -> TrainedPolicy:
    """Load a policy, which predicts byte for byte like the one that was saved.

    Raises:
        DamagedModelError: a file is missing or altered, or this is not a model of ours.
    """
    folder = Path(folder)
    try:
        contents = {name: _read(folder / name) for name in (DESCRIPTION, TENSORS)}
        manifest = _read(folder / MANIFEST)
    except OSError as error:
        raise DamagedModelError(
            f"{folder} is not a whole model: {error.strerror or error} ({error.filename}); "
            f"a model folder holds {DESCRIPTION}, {TENSORS} and {MANIFEST}"
        ) from error
    if manifest != _manifest(contents):
        raise DamagedModelError(
            f"{folder} is damaged or was altered: its files do not match {MANIFEST}; "
            "use another copy of it"
        )
    try:
        return _rebuild(
            json.loads(contents[DESCRIPTION]), safetensors.torch.load(contents[TENSORS])
        )
    except (ValueError, RecursionError, SafetensorError) as error:  # or a DamagedModelError
        raise DamagedModelError(f"{folder} is not a model of ours: {error}") from error


def _rebuild(description: Any, tensors: dict[str, Tensor]) -> TrainedPolicy:
    kind = description.get("kind") if isinstance(description, dict) else None
    if not isinstance(kind, str) or kind not in LOADERS:
        raise DamagedModelError(f"model of unknown kind {kind!r}; known: {', '.join(LOADERS)}")
    module, _, function = LOADERS[kind].partition(":")
    policy: TrainedPolicy = getattr(import_module(module), function)(description, tensors)
    return policy


def _manifest(contents: dict[str, bytes]) -> bytes:
    """The only bytes that a manifest of these files may have."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    return json.dumps({"format": "nondiff-model-1", "sha256": sums}, indent=1).encode()


def _read(path: Path) -> bytes:
    if path.stat().st_size > LARGEST_FILE:
        raise DamagedModelError(f"{path} is larger than {LARGEST_FILE} bytes")
    return path.read_bytes()


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
