"""Zips that Stable-Baselines3 saves, as they are and as a forger would make them."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import torch
from sb3_contrib import TQC, TRPO
from stable_baselines3 import A2C, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

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
ALGORITHMS = {"ppo": PPO, "a2c": A2C, "trpo": TRPO, "sac": SAC, "td3": TD3, "tqc": TQC}


def options_of(strategy: str, **policy: Any) -> dict[str, Any]:
    shared = OFF_POLICY if strategy in ("sac", "td3", "tqc") else ON_POLICY
    return shared | SHORT.get(strategy, {}) | {"policy_kwargs": NET | policy}


def learned(strategy: str, env: VecEnv | str, **options: Any) -> BaseAlgorithm:
    """What Stable-Baselines3 itself trains for a few steps."""
    if isinstance(env, str):
        env = one(env)
    several = isinstance(env.observation_space, gymnasium.spaces.Dict)
    policy = options.pop("policy", "MultiInputPolicy" if several else "MlpPolicy")
    options = options_of(strategy) | {"seed": 0, "device": "cpu"} | options
    return ALGORITHMS[strategy](policy, env, **options).learn(32)


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


def as_pickled(value: Any) -> dict[str, str]:
    return {":type:": "x", ":serialized:": base64.b64encode(pickle.dumps(value)).decode()}


class Intruder:
    """Unpickled, it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)
