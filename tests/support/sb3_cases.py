"""Saves models with any release of Stable-Baselines3: python sb3_cases.py FOLDER [CASE ...]

Of each case it writes the zip, what the model predicts for some observations, and, where it was
trained with VecNormalize, the statistics. nondiff is not imported, so that any release can be used;
`tests/data/sb3_zips` holds some of what these wrote, in folders named by the release, without
`system_info.txt`.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import TQC, TRPO
from stable_baselines3 import A2C, PPO, SAC, TD3, HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

REACH = np.array([[0.1, 2.0, 1e-7], [1 / 3, 5.0, 0.7]], np.float32)
MANY = np.arange(1.0, 1201)
GOAL = spaces.Box(-10.0, 10.0, (2,), np.float32)
SPACES: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-REACH, REACH),
    "unit": spaces.Box(-1.0, 1.0, (2,), np.float32),
    # Printed to eight digits, these bounds are others.
    "odd": spaces.Box(
        np.array([-0.099999994, -1 / 3], np.float32), np.array([0.099999994, 1 / 7], np.float32)
    ),
    "double": spaces.Box(-np.array([1 / 3, 0.7]), np.array([1 / 7, 0.7]), dtype=np.float64),
    "many": spaces.Box(-MANY, MANY, dtype=np.float64),  # numpy prints the first and the last
    "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
    "discrete": spaces.Discrete(5),
    "from two": spaces.Discrete(5, start=2),
    "choices": spaces.MultiDiscrete([2, 3]),
    "binary": spaces.MultiBinary(3),
    "goals": spaces.Dict(
        {"achieved_goal": GOAL, "desired_goal": GOAL, "observation": spaces.Box(-REACH, REACH)}
    ),
    "dict": spaces.Dict(
        {
            "unbounded": spaces.Box(-np.inf, np.inf, (2,), np.float32),
            "precise": spaces.Box(
                -np.array([1 / 3, 0.7]), np.array([1 / 7, 0.7]), dtype=np.float64
            ),
            "picture": spaces.Box(0, 255, (36, 36, 1), np.uint8),
            "it's": spaces.Discrete(3),
            "choices": spaces.MultiDiscrete([2, 3]),
            "switches": spaces.MultiBinary(2),
        }
    ),
}


class Sampling(gymnasium.Env[Any, Any]):
    """An environment of any spaces, whose episodes have eight steps."""

    def __init__(self, observation: str, action: str) -> None:
        self.observation_space, self.action_space = SPACES[observation], SPACES[action]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.observation_space.sample(), 0.0, self.steps == 8, False, {}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -np.abs(achieved - desired).sum(-1)


@dataclass(frozen=True)
class Case:
    """What is trained: `normalize` are the arguments of VecNormalize, if it is used."""

    kind: type[BaseAlgorithm]
    observation: str = "box"
    action: str = "odd"
    policy: str = "MlpPolicy"
    arguments: dict[str, Any] | None = field(default_factory=lambda: {"net_arch": [4]})
    options: dict[str, Any] = field(default_factory=dict)
    normalize: dict[str, Any] | None = None

    def env(self) -> Sampling:
        return Sampling(self.observation, self.action)

    def model(self, env: VecEnv) -> BaseAlgorithm:
        arguments = None if self.arguments is None else dict(self.arguments)
        options = SHORT[self.kind] | self.options
        return self.kind(self.policy, env, policy_kwargs=arguments, seed=0, device="cpu", **options)


OFF_POLICY = {"buffer_size": 100, "learning_starts": 12, "batch_size": 4}
SHORT: dict[type[BaseAlgorithm], dict[str, Any]] = {
    PPO: {"n_steps": 16, "batch_size": 16, "n_epochs": 1},
    A2C: {"n_steps": 16},
    TRPO: {"n_steps": 16, "batch_size": 16},
    SAC: OFF_POLICY,
    TD3: OFF_POLICY,
    TQC: OFF_POLICY,
}
ELU = {"net_arch": {"pi": [6, 3], "vf": [6, 3]}, "activation_fn": torch.nn.ELU, "ortho_init": False}
HER = {"replay_buffer_class": HerReplayBuffer}
DICT = {"policy": "MultiInputPolicy", "observation": "dict"}
CASES = {
    "ppo": Case(PPO),
    "ppo-default": Case(PPO, arguments=None),
    "ppo-no-layers": Case(PPO, arguments={"net_arch": []}),
    "ppo-elu": Case(PPO, action="double", arguments=ELU),
    "ppo-sde": Case(PPO, options={"use_sde": True}),
    "ppo-normalized": Case(PPO, action="unit", normalize={"clip_obs": 2}),
    "ppo-dict": Case(PPO, action="choices", normalize={"norm_obs_keys": ["precise"]}, **DICT),  # type: ignore[arg-type]
    "ppo-binary": Case(PPO, "discrete", "binary"),
    "ppo-many": Case(PPO, "many"),
    "ppo-many-actions": Case(PPO, "choices", "many"),
    "a2c": Case(A2C, action="from two"),
    "a2c-image": Case(A2C, "image", "unit", "CnnPolicy", {}),
    "trpo": Case(TRPO),
    "sac": Case(SAC),
    "sac-default": Case(SAC, arguments=None),
    "sac-no-layers": Case(SAC, arguments={"net_arch": []}),
    "sac-sde": Case(SAC, options={"use_sde": True}),
    "sac-goals": Case(SAC, "goals", policy="MultiInputPolicy", options=HER, normalize={}),
    "td3": Case(TD3, arguments={"net_arch": [5, 4]}, normalize={"epsilon": 1e-3}),
    "td3-no-layers": Case(TD3, arguments={"net_arch": []}),
    "tqc": Case(TQC, arguments={"net_arch": [4], "n_quantiles": 5, "n_critics": 1}),
    "tqc-default": Case(TQC, arguments=None),
}


def save(folder: Path, name: str) -> None:
    """Train a case for a few steps, and write what it is then."""
    case = CASES[name]
    SPACES[case.observation].seed(0)
    SPACES[case.action].seed(0)
    env: Any = DummyVecEnv([case.env])
    if case.normalize is not None:
        env = VecNormalize(env, **case.normalize)
    model = case.model(env).learn(32)
    model.save(folder / f"{name}.zip")
    seen = [env.observation_space.sample() for _ in range(8)]
    inputs = seen if case.normalize is None else [env.normalize_obs(one) for one in seen]
    actions = np.array([model.predict(one, deterministic=True)[0] for one in inputs])
    np.savez_compressed(folder / f"{name}.npz", actions=actions, **flat(seen))
    if case.normalize is not None:
        env.save(str(folder / f"{name}.pkl"))


def flat(observations: list[Any]) -> dict[str, Any]:
    """Observations as arrays: number, and key if it has any."""
    if not isinstance(observations[0], dict):
        return {f"{i}": one for i, one in enumerate(observations)}
    return {f"{i}.{key}": v for i, one in enumerate(observations) for key, v in one.items()}


def unflat(arrays: dict[str, Any]) -> list[Any]:
    """The observations of `flat`."""
    found: dict[int, Any] = {}
    for name, value in arrays.items():
        number, dot, key = name.partition(".")
        if dot:
            found.setdefault(int(number), {})[key] = value
        else:
            found[int(number)] = value
    return [found[number] for number in sorted(found)]


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of older releases
    torch.set_num_threads(1)
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for chosen in sys.argv[2:] or CASES:
        save(target, chosen)
