"""Zips that Stable-Baselines3 saves, as they are and as a forger would make them."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import data_to_json
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from suited import needs_choices

from nondiff.agents.sb3.exchange.importing import import_zip
from nondiff.agents.sb3.library import algorithms, library_class
from nondiff.agents.sb3.policy import ReinforcementPolicy
from nondiff.env_recipe import EnvRecipe

torch.set_num_threads(1)

REACH = "nondiff/PandaReachDense-v0"
NET = {"net_arch": [4]}
ON_POLICY: dict[str, Any] = {"n_steps": 16, "policy_kwargs": NET}
OFF_POLICY: dict[str, Any] = {
    "buffer_size": 100,
    "learning_starts": 8,
    "batch_size": 4,
    "policy_kwargs": NET,
}
SHORT = {"ppo": {"batch_size": 16, "n_epochs": 1}, "trpo": {"batch_size": 16}}
PICKLED = ":serialized:"
ALGORITHMS: dict[str, Any] = {name: library_class(kind) for name, kind in algorithms().items()}
HOME = {  # an environment that each can be trained on
    name: "CartPole-v1" if needs_choices(name) else "Pendulum-v1" for name in ALGORITHMS
}


def options_of(strategy: str, **policy: Any) -> dict[str, Any]:
    shared = OFF_POLICY if issubclass(ALGORITHMS[strategy], OffPolicyAlgorithm) else ON_POLICY
    return shared | SHORT.get(strategy, {}) | {"policy_kwargs": NET | policy}


def learned(strategy: str, env: VecEnv | str, **options: Any) -> BaseAlgorithm:
    """What Stable-Baselines3 itself trains for a few steps."""
    if isinstance(env, str):
        env = one(env)
    several = isinstance(env.observation_space, gymnasium.spaces.Dict)
    policy = options.pop("policy", "MultiInputPolicy" if several else "MlpPolicy")
    options = options_of(strategy) | {"seed": 0, "device": "cpu"} | options
    algorithm: BaseAlgorithm = ALGORITHMS[strategy](policy, env, **options)
    return algorithm.learn(32)


def one(env_id: str) -> VecEnv:
    """The vectorised form of an environment."""
    return DummyVecEnv([EnvRecipe(env_id).make])


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def edited(saved: Path, **changes: Any) -> bytes:
    """The zip with other values in its `data`; None: without them."""
    contents = members(saved)
    data = json.loads(contents["data"]) | changes
    contents["data"] = json.dumps({k: v for k, v in data.items() if v is not None}).encode()
    return packed(contents)


def imported(
    path: Path,
    strategy: str,
    statistics: Path | None = None,
    env_id: str = "Pendulum-v1",
    **more: Any,
) -> ReinforcementPolicy:
    """What a zip holds for an environment."""
    with closing(EnvRecipe(env_id).make()) as env:
        return import_zip(path, strategy, env, statistics, **more)


def as_saved(value: Any, **changes: Any) -> Any:
    """What Stable-Baselines3 writes of a value into `data`, with other plain attributes."""
    saved = json.loads(data_to_json({"value": value}))["value"]
    return saved | changes if changes else saved


def with_tensors(saved: Path, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The zip with other tensors."""
    contents = members(saved)
    tensors = torch.load(io.BytesIO(contents["policy.pth"]), weights_only=True)
    change(tensors)
    file = io.BytesIO()
    torch.save(tensors, file)
    return packed(contents | {"policy.pth": file.getvalue()})


def spiked(saved: Path, intruder: Intruder) -> bytes:
    """The zip with an intruder in place of each pickle; what is plain beside it stays."""
    contents = members(saved)
    data = json.loads(contents["data"])
    pickled = base64.b64encode(pickle.dumps(intruder)).decode()
    spikes = [value for value in data.values() if isinstance(value, dict) and PICKLED in value]
    assert len(spikes) > 5
    for value in spikes:
        value[PICKLED] = pickled
    return packed(contents | {"data": json.dumps(data).encode()})


class Intruder:
    """Unpickled, it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)
