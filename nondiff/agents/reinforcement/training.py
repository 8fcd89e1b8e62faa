"""Trains a Stable-Baselines3 algorithm from a configuration."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
from gymnasium import Env, spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecNormalize

from nondiff.agents.reinforcement.algorithms import ALGORITHMS
from nondiff.agents.reinforcement.bridge import Bridge, observer_logger
from nondiff.agents.reinforcement.compatibility import check, has_goals, is_vector
from nondiff.agents.reinforcement.configs import OffPolicy, OnPolicy, Reinforcement
from nondiff.agents.reinforcement.finite import FiniteGuard, non_finite_weight
from nondiff.agents.reinforcement.policy import (
    Description,
    Normalizer,
    PolicyArguments,
    ReinforcementPolicy,
)
from nondiff.agents.seeds import training_seed
from nondiff.agents.spaces import to_json
from nondiff.agents.strategy import Observer, Training
from nondiff.envs.errors import InvalidOptionError, NonFiniteError
from nondiff.envs.recipe import EnvRecipe

__all__ = ["check", "train"]  # what `Strategy` asks of a trainer


def train(config: Reinforcement, training: Training, observer: Observer) -> ReinforcementPolicy:
    """Train until the budget is spent or the observer ends it; see `Strategy.train`."""
    env = _vectorize(config, training)
    try:
        algorithm = _build(config, training, env)
        algorithm.set_logger(observer_logger(observer))
        _learn(config, training, observer, algorithm)
        return _policy(config, algorithm)
    finally:
        env.close()


def _learn(
    config: Reinforcement, training: Training, observer: Observer, algorithm: BaseAlgorithm
) -> None:
    bridge = Bridge(observer, training.budget, partial(_policy, config, algorithm))
    # An on-policy algorithm logs after each rollout, the others after some episodes.
    every = 1 if isinstance(config, OnPolicy) else 4
    try:
        algorithm.learn(training.budget, callback=bridge, log_interval=every)
    except BaseException as error:
        _explain(error, config, algorithm)
        observer.keep(algorithm.num_timesteps, _policy(config, algorithm))
        _explain_warm_up(error, config)
        raise


def _vectorize(config: Reinforcement, training: Training) -> VecEnv:
    makers: list[Callable[[], Env[Any, Any]]]
    makers = [partial(_monitored, training.recipe)] * config.num_envs
    several = config.vec_env == "processes" and config.num_envs > 1
    env: VecEnv = SubprocVecEnv(makers) if several else DummyVecEnv(makers)
    env.seed(training_seed(training.seed))
    env = FiniteGuard(env)
    if config.normalize_observation or config.normalize_reward:
        env = VecNormalize(
            env,
            norm_obs=config.normalize_observation,
            norm_reward=config.normalize_reward,
            gamma=config.gamma,
            norm_obs_keys=_vector_keys(env.observation_space),
        )
    return env


def _monitored(recipe: EnvRecipe) -> Monitor:
    return Monitor(recipe.make())


def _vector_keys(space: spaces.Space[Any]) -> list[str] | None:
    if not isinstance(space, spaces.Dict):
        return None
    return [key for key, part in space.items() if is_vector(part)]


def _build(config: Reinforcement, training: Training, env: VecEnv) -> BaseAlgorithm:
    set_random_seed(training.seed)
    kind = ALGORITHMS[config.name]
    accepted = inspect.signature(kind).parameters
    options = {f.name: getattr(config, f.name) for f in fields(config) if f.name in accepted}
    options["learning_rate"] = _schedule(config)
    if isinstance(config, OnPolicy):
        least = 2 if config.num_envs == 1 else 1  # advantages are standardised over the rollout
        options["n_steps"] = max(least, min(config.n_steps, training.budget // config.num_envs))
    if isinstance(config, OffPolicy):
        options |= _replay_options(config, training, env)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You have specified a mini-batch size")
        algorithm = kind(
            _policy_name(env.observation_space),
            env,
            device=training.device,
            policy_kwargs=_policy_arguments(config).keywords(),
            **options,
        )
    # Given no seed, the algorithm leaves the environments' seeds as they are.
    algorithm.action_space.seed(training.seed)
    return algorithm


def _schedule(config: Reinforcement) -> Any:
    if config.learning_rate_schedule == "constant":
        return config.learning_rate
    return lambda remaining: remaining * config.learning_rate


def _replay_options(config: OffPolicy, training: Training, env: VecEnv) -> dict[str, Any]:
    options: dict[str, Any] = {"buffer_size": min(config.buffer_size, training.budget)}
    if _uses_goals(config, training.recipe):
        options["learning_starts"] = config.learning_starts * config.num_envs
        options["replay_buffer_class"] = HerReplayBuffer
        options["replay_buffer_kwargs"] = {
            "n_sampled_goal": config.n_sampled_goal,
            "goal_selection_strategy": config.goal_selection_strategy,
        }
    deviation = getattr(config, "action_noise", 0.0)
    size = int(np.prod(env.action_space.shape or (1,)))
    noise = NormalActionNoise(np.zeros(size), np.full(size, deviation)) if deviation else None
    options["action_noise"] = noise
    coefficient = getattr(config, "ent_coef", None)
    if coefficient is not None:
        options["ent_coef"] = coefficient if coefficient.startswith("auto") else float(coefficient)
    return options


def _uses_goals(config: OffPolicy, recipe: EnvRecipe) -> bool:
    if config.her is not None:
        return config.her
    with closing(recipe.make()) as env:
        return has_goals(env)


def _policy_arguments(config: Reinforcement) -> PolicyArguments:
    values: dict[str, Any] = {
        "net_arch": None if config.net_arch is None else list(config.net_arch),
        "activation_fn": config.activation,
    }
    for name in ("log_std_init", "n_critics", "n_quantiles"):
        values[name] = getattr(config, name, None)
    return PolicyArguments(**values)


def _policy_name(space: spaces.Space[Any]) -> str:
    if isinstance(space, spaces.Dict):
        return "MultiInputPolicy"
    return "CnnPolicy" if is_image_space(space) else "MlpPolicy"


def _policy(config: Reinforcement, algorithm: BaseAlgorithm) -> ReinforcementPolicy:
    _check_weights(config, algorithm)
    env = algorithm.get_vec_normalize_env()
    normalizer = Normalizer.of(env) if env is not None and env.norm_obs else None
    arguments = _policy_arguments(config)
    arguments.use_sde = getattr(config, "use_sde", None)
    description = Description(
        kind="stable-baselines3",
        strategy=config.name,  # type: ignore[arg-type]
        policy=_policy_name(algorithm.observation_space),  # type: ignore[arg-type]
        arguments=arguments,
        observation_space=to_json(algorithm.observation_space),
        action_space=to_json(algorithm.action_space),
        normalizer_clip=normalizer.clip if normalizer else None,
        normalizer_epsilon=normalizer.epsilon if normalizer else None,
    )
    return ReinforcementPolicy(description, algorithm.policy, normalizer)


def _check_weights(config: Reinforcement, algorithm: BaseAlgorithm) -> None:
    name = non_finite_weight(algorithm.policy)
    if name is not None:
        raise NonFiniteError(
            f"the update before step {algorithm.num_timesteps} made the weight {name} NaN or "
            f"infinite; lower learning_rate (now {config.learning_rate}) or scale the rewards"
        )


def _explain(error: BaseException, config: Reinforcement, algorithm: BaseAlgorithm) -> None:
    """Raise the clear error behind one of Stable-Baselines3's, if it is known."""
    _check_weights(config, algorithm)
    if "Expected parameter" in str(error):  # weights so large that torch refuses what they give
        raise NonFiniteError(
            f"the update before step {algorithm.num_timesteps} made the policy's distribution "
            f"invalid; lower learning_rate (now {config.learning_rate}) or scale the rewards"
        ) from error


def _explain_warm_up(error: BaseException, config: Reinforcement) -> None:
    if "learning_starts" in str(error):
        raise InvalidOptionError(
            f"learning_starts = {getattr(config, 'learning_starts', None)} is too small: hindsight "
            "relabelling needs one whole episode"
        ) from error
