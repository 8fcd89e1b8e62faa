"""Rehearses a training of Stable-Baselines3's on the spaces of an environment alone."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import gymnasium
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from nondiff.agents.policies.network import MLP, NET_ARCH, NetworkPolicy
from nondiff.agents.policies.network import rebuild as rebuild_network
from nondiff.agents.rehearsal import SpacesEnv, act, is_tested, rehearsing
from nondiff.agents.sb3.algorithms.reinforcement import Reinforcement
from nondiff.agents.sb3.building import build, normalized
from nondiff.agents.sb3.compatibility import has_goals
from nondiff.agents.sb3.policy import rebuild
from nondiff.agents.sb3.shared_network import network_of
from nondiff.agents.sb3.training import policy_of
from nondiff.agents.strategy import Training
from nondiff.env_recipe import EnvRecipe

STEPS = 8
# What makes a training short, of the hyperparameters that there are.
SHORT: dict[str, Any] = {
    "learning_rate": 1e-4,
    "num_envs": 1,
    "vec_env": "serial",
    "demonstrations": None,
    "n_steps": 4,
    "batch_size": 2,
    "n_epochs": 1,
    "learning_starts": 4,
    "train_freq": 1,
    "gradient_steps": 1,
    "buffer_size": 4 * STEPS,
}


def rehearse(config: Reinforcement, env: gymnasium.Env[Any, Any]) -> None:
    """Train for a few steps, write and read the policy, and act with it.

    Raises:
        IncompatibleStrategyError: that is not possible in these spaces.
    """
    if is_tested(env):
        return
    changes = {name: value for name, value in SHORT.items() if hasattr(config, name)}
    if hasattr(config, "her"):
        changes["her"] = has_goals(env) if config.her is None else config.her
    short = replace(config, **changes)
    with rehearsing(config.name, env), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is worth saying is said by the training itself
        _train(short, env)


def _train(config: Reinforcement, env: gymnasium.Env[Any, Any]) -> None:
    environments = normalized(config, DummyVecEnv([lambda: SpacesEnv(env)]))
    module = None
    if config.network == "nondiff":
        module = MLP.for_env(
            SpacesEnv(env), config.net_arch or NET_ARCH, config.activation or "silu"
        )
    training = Training(EnvRecipe(config.name), STEPS, seed=0)
    algorithm = build(config, training, environments, module)
    algorithm.set_logger(Logger(None, []))
    algorithm.learn(STEPS)
    if module is None:
        policy = policy_of(config, algorithm)
        act(env, policy, rebuild(policy.description(), policy.tensors()))
        return
    network = NetworkPolicy(network_of(algorithm), env.observation_space, env.action_space)
    act(env, network, rebuild_network(network.description(), network.tensors()))
