"""Builds a Stable-Baselines3 algorithm from a configuration."""

from __future__ import annotations

import inspect
import warnings
from contextlib import closing
from dataclasses import fields
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn

from nondiff.agents.demonstrations.dataset import Demonstrations
from nondiff.agents.policies.network import NET_ARCH
from nondiff.agents.sb3.algorithms.learned_entropy import LearnedEntropy
from nondiff.agents.sb3.algorithms.off_policy import ActorCritic, Hindsight, OffPolicy
from nondiff.agents.sb3.algorithms.on_policy import OnPolicy
from nondiff.agents.sb3.algorithms.reinforcement import Reinforcement
from nondiff.agents.sb3.compatibility import has_goals, is_vector
from nondiff.agents.sb3.demonstrations.imitation import imitating
from nondiff.agents.sb3.demonstrations.replay import drawing_from_demonstrations, give
from nondiff.agents.sb3.library import library_class, policy_name
from nondiff.agents.sb3.policy import PolicyArguments
from nondiff.agents.sb3.schedules import LearningRate, explore_over
from nondiff.agents.sb3.shared_network import around
from nondiff.agents.strategy import Training
from nondiff.env_recipe import EnvRecipe


def normalized(config: Reinforcement, env: VecEnv) -> VecEnv:
    """The environments with the normalisation that the configuration asks for, from its start."""
    if not (config.normalize_observation or config.normalize_reward):
        return env
    return VecNormalize(
        env,
        norm_obs=config.normalize_observation,
        norm_reward=config.normalize_reward,
        gamma=config.gamma,
        norm_obs_keys=_vector_keys(env.observation_space),
    )


def _vector_keys(space: spaces.Space[Any]) -> list[str] | None:
    if not isinstance(space, spaces.Dict):
        return None
    return [key for key, part in space.items() if is_vector(part)]


def build(
    config: Reinforcement,
    training: Training,
    env: VecEnv,
    module: nn.Module | None = None,
    demonstrations: Demonstrations | None = None,
) -> BaseAlgorithm:
    """A new algorithm, its weights drawn from the global generators.

    Args:
        config: the hyperparameters.
        training: budget and device.
        env: the environments.
        module: the network that acts, of which a copy is trained; None: the algorithm's own.
        demonstrations: what an off-policy algorithm draws a part of its batches from.
    """
    kind: Any = library_class(type(config))
    accepted = inspect.signature(kind).parameters
    if isinstance(config, ActorCritic) and demonstrations is not None and config.imitation > 0:
        kind = imitating(kind, config.imitation, config.imitation_error)
    options = {f.name: getattr(config, f.name) for f in fields(config) if f.name in accepted}
    schedule = LearningRate(config, training.budget)
    options["learning_rate"] = schedule
    if isinstance(config, OnPolicy):
        least = 2 if config.num_envs == 1 else 1  # advantages are standardised over the rollout
        options["n_steps"] = max(least, min(config.n_steps, training.budget // config.num_envs))
    if isinstance(config, OffPolicy):
        options |= _replay_options(config, training, env)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You have specified a mini-batch size")
        name = policy_name(env.observation_space)
        algorithm: BaseAlgorithm = kind(
            name if module is None else around(kind.policy_aliases[name], module),
            env,
            device=training.device,
            policy_kwargs=_policy_keywords(config, module),
            **options,
        )
    schedule.follow(algorithm)
    explore_over(training.budget, algorithm)
    if isinstance(config, OffPolicy) and demonstrations is not None:
        give(algorithm, demonstrations, config.demonstrations_share)
    return algorithm


def _policy_keywords(config: Reinforcement, module: nn.Module | None) -> dict[str, Any]:
    keywords = policy_arguments(config).keywords()
    if module is not None:  # which takes the place of the layers that lead to an action
        hidden = list(config.net_arch or NET_ARCH)
        critic = "vf" if isinstance(config, OnPolicy) else "qf"
        keywords["net_arch"] = {"pi": [], critic: hidden}
    return keywords


def cut_rollouts(config: Reinforcement, budget: int) -> bool:
    """Whether the budget is too small for a rollout as long as was asked for."""
    return isinstance(config, OnPolicy) and budget < config.n_steps * config.num_envs


def _replay_options(config: OffPolicy, training: Training, env: VecEnv) -> dict[str, Any]:
    # One row more than the budget fills: a larger budget, later on, finds the same buffer.
    most = training.budget + config.num_envs * (config.train_freq + 1)
    options: dict[str, Any] = {"buffer_size": min(config.buffer_size, most)}
    kind: type[ReplayBuffer] = ReplayBuffer
    if isinstance(env.observation_space, spaces.Dict):
        kind = DictReplayBuffer
    if isinstance(config, Hindsight) and _uses_goals(config, training.recipe):
        kind = HerReplayBuffer
        options["learning_starts"] = config.learning_starts * config.num_envs
        options["replay_buffer_kwargs"] = {
            "n_sampled_goal": config.n_sampled_goal,
            "goal_selection_strategy": config.goal_selection_strategy,
        }
    mixes = config.demonstrations is not None
    options["replay_buffer_class"] = drawing_from_demonstrations(kind) if mixes else kind
    deviation: float | None = getattr(config, "action_noise", None)
    if deviation is not None:
        size = int(np.prod(env.action_space.shape or (1,)))
        noise = NormalActionNoise(np.zeros(size), np.full(size, deviation)) if deviation else None
        options["action_noise"] = noise
    if isinstance(config, LearnedEntropy) and not config.ent_coef.startswith("auto"):
        options["ent_coef"] = float(config.ent_coef)
    return options


def _uses_goals(config: Hindsight, recipe: EnvRecipe) -> bool:
    if config.her is not None:
        return config.her
    with closing(recipe.make()) as env:
        return has_goals(env)


def policy_arguments(config: Reinforcement) -> PolicyArguments:
    """What the policy's constructor is given beside its spaces."""
    values: dict[str, Any] = {
        "net_arch": None if config.net_arch is None else list(config.net_arch),
        "activation_fn": config.activation,
    }
    for name in ("log_std_init", "n_critics", "n_quantiles"):
        values[name] = getattr(config, name, None)
    return PolicyArguments(**values)
