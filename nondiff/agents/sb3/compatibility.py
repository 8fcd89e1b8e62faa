"""Which environments an algorithm can train on."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space

from nondiff.agents.capabilities import check_values
from nondiff.agents.demonstrations.dataset import read_demonstrations
from nondiff.agents.rehearsal import check_sizes, lacks_of_action
from nondiff.agents.sb3.algorithms.reinforcement import Reinforcement
from nondiff.agents.sb3.library import library_class, policy_name
from nondiff.black_box import BlackBoxEnv
from nondiff.errors import IncompatibleStrategyError, InvalidOptionError
from nondiff.gym.wrapping import changing_wrapper

GOAL_KEYS = {"achieved_goal", "desired_goal", "observation"}
PLAIN_ACTION = "nondiff:PlainAction"
FLATTENED = "gymnasium.wrappers:FlattenObservation"
MIN_PICTURE = 36  # [px] a side, of what NatureCNN's three convolutions leave something of
SIMPLE = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
KINDS: dict[type[spaces.Space[Any]], str] = {
    spaces.Box: "continuous actions (Box)",
    spaces.Discrete: "discrete actions, one a step (Discrete)",
}
USES = ("warm_start_steps", "demonstrations_share", "imitation")  # of demonstrations


def has_goals(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether hindsight relabelling applies: goal-conditioned, with a reward to recompute."""
    space = env.observation_space
    return (
        isinstance(space, spaces.Dict)
        and space.keys() >= GOAL_KEYS
        and hasattr(env.unwrapped, "compute_reward")
    )


def check(config: Reinforcement, env: gymnasium.Env[Any, Any]) -> None:
    """Refuse what the algorithm can't handle; see `Strategy.check`.

    Raises:
        IncompatibleStrategyError: names the space and the strategies that fit.
        InvalidOptionError: a hyperparameter is out of its range, or asks for what is not there.
        NonFiniteError, MissingDependencyError: see `read_demonstrations`.
    """
    check_values(config)
    config.check_hyperparameters()
    check_sizes(config.name, env)
    _check_action(config, env.action_space)
    _check_observation(config, env.observation_space)
    _check_network(config, env)
    if config.vec_env == "batched" and not is_vectorised(env):
        raise InvalidOptionError(
            f"{config.name}: vec_env = 'batched' needs an environment with a vectorised form, and "
            "this one is registered without vector_entry_point; choose from serial, processes"
        )
    if getattr(config, "her", None) and not has_goals(env):
        raise InvalidOptionError(
            "her = True needs a goal-conditioned environment: Dict observations with "
            f"{', '.join(sorted(GOAL_KEYS))}, and compute_reward; this one has "
            f"{env.observation_space}"
        )
    if config.demonstrations is not None:
        _check_use(config)
        read_demonstrations(config.demonstrations, env)
    # At last: it finds whatever the checks above, which say more, do not know.
    from nondiff.agents.sb3.rehearsal import rehearse

    rehearse(config, env)


def _check_use(config: Reinforcement) -> None:
    uses = [use for use in USES if hasattr(config, use)]
    if not any(getattr(config, use) for use in uses):
        raise InvalidOptionError(
            f"{config.name}: nothing is learnt from demonstrations where {' and '.join(uses)} "
            f"{'are' if len(uses) > 1 else 'is'} 0"
        )


def _check_network(config: Reinforcement, env: gymnasium.Env[Any, Any]) -> None:
    """Our network takes observations as they are, and leaves exploration to the algorithm."""
    if config.network == "stable-baselines3":
        return
    for option in ("normalize_observation", "use_sde"):
        if getattr(config, option, False):
            raise InvalidOptionError(
                f"{config.name}: {option} needs network = 'stable-baselines3', not 'nondiff'"
            )
    if not isinstance(env.action_space, spaces.Box | spaces.Discrete):
        raise InvalidOptionError(
            f"{config.name}: network = 'nondiff' acts in Box and Discrete spaces, and this "
            f"environment has {env.action_space}"
        )


def is_vectorised(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether many episodes can be stepped by one call."""
    registered = env.spec is not None and env.spec.vector_entry_point is not None
    limit = 0 if env.spec is None else env.spec.max_episode_steps or 0
    is_plain = changing_wrapper(env, limit) is None
    return is_plain and (registered or isinstance(env.unwrapped, BlackBoxEnv))


def _check_action(config: Reinforcement, space: spaces.Space[Any]) -> None:
    if len(config.acts_in) == 1 and not isinstance(space, config.acts_in):
        raise IncompatibleStrategyError(
            f"{config.name} needs {KINDS[config.acts_in[0]]} and this environment has {space}"
        )
    if not isinstance(space, config.acts_in):
        raise IncompatibleStrategyError(
            f"{config.name} can't act in {type(space).__name__} spaces; wrap the environment so "
            f"that its action space is one of {', '.join(kind.__name__ for kind in config.acts_in)}"
        )
    if wrong := lacks_of_action(space):
        more = "" if not isinstance(space, spaces.Box) or space.is_bounded() else ",low=-1,high=1"
        raise IncompatibleStrategyError(
            f"{config.name} needs {wrong}, and this environment has {space}; give it by --wrapper "
            f"{PLAIN_ACTION}{more}"
        )


def _check_observation(config: Reinforcement, space: spaces.Space[Any]) -> None:
    parts = list(space.values()) if isinstance(space, spaces.Dict) else [space]
    if policy_name(space) not in library_class(type(config)).policy_aliases:
        raise IncompatibleStrategyError(
            f"{config.name} has no network for Dicts or pictures, and this environment has "
            f"{space}; give it by --wrapper {FLATTENED}"
        )
    for part in parts:
        if not isinstance(part, SIMPLE):
            raise IncompatibleStrategyError(
                f"{config.name} can't observe {type(part).__name__} spaces, and this environment "
                f"has {space}; give it by --wrapper {FLATTENED}"
            )
        if not (isinstance(part, spaces.Box) and is_image_space(part)):
            continue
        if min(sorted(part.shape)[1:]) < MIN_PICTURE:
            raise IncompatibleStrategyError(
                f"{config.name} looks at pictures by convolutions that need at least "
                f"{MIN_PICTURE} x {MIN_PICTURE} pixels, and this environment has "
                f"pictures {part.shape}"
            )
    if config.normalize_observation and not any(map(is_vector, parts)):
        raise InvalidOptionError(
            f"normalize_observation needs a Box of real numbers, and observations are {space}"
        )


def is_vector(space: spaces.Space[Any]) -> bool:
    """Whether a space is a Box of real numbers, whose running statistics make sense."""
    return isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
