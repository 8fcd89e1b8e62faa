"""Writes policies so that plain Stable-Baselines3 loads them."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import create_empty_array
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from nondiff.agents.policies.spaces import from_json
from nondiff.agents.sb3.library import find_algorithm, library_class
from nondiff.agents.sb3.policy import Description, Normalizer, ReinforcementPolicy
from nondiff.errors import InvalidOptionError
from nondiff.files.output import remove_output, write_output

# A model keeps its statistics but not of how many observations; as if of so many, they stay where
# they are when Stable-Baselines3 goes on training with them.
OBSERVATIONS_BEHIND_STATISTICS = 1e6


def export_zip(policy: ReinforcementPolicy, path: Path, statistics: Path | None = None) -> None:
    """Write a policy so that plain Stable-Baselines3 or sb3-contrib loads it.

    `predict(deterministic=True)` of what they load gives the same bytes; what else a training
    leaves in such a file (hyperparameters, the optimiser's state) is the algorithm's default.

    Args:
        policy: what to write.
        path: the new zip, for `load` of the algorithm.
        statistics: a new pickle for `VecNormalize.load`, if the policy normalises observations.

    Raises:
        InvalidOptionError: a file that exists or can't be written, or `statistics` is missing or
            not needed.
    """
    normalizer = policy.normalizer
    if (normalizer is None) != (statistics is None):
        raise InvalidOptionError(
            "this policy does not normalise observations, so there are no statistics to write"
            if normalizer is None
            else "this policy normalises observations, which Stable-Baselines3 keeps in a file of "
            "its own: say where with --statistics"
        )
    if path == statistics:
        raise InvalidOptionError(f"{path} can't be both the zip and the statistics")
    for target in filter(None, (path, statistics)):
        if os.path.lexists(target):  # a link to nothing would be replaced as well
            raise InvalidOptionError(f"{target} exists already; choose another name, or remove it")
    description = Description.model_validate(policy.description())
    file = io.BytesIO()
    _algorithm(description, policy).save(file)
    _write_new(path, file.getvalue())
    if normalizer is not None and statistics is not None:
        try:
            _write_new(statistics, pickle.dumps(_vec_normalize(description, normalizer)))
        except BaseException:
            remove_output(path)  # half of what was asked for would mislead
            raise


def _algorithm(description: Description, policy: ReinforcementPolicy) -> BaseAlgorithm:
    """The algorithm of a policy, made without an environment as Stable-Baselines3's `load` does."""
    kind: Any = library_class(find_algorithm(description.strategy))
    arguments = description.arguments.keywords()
    options = {"use_sde": arguments.pop("use_sde")} if "use_sde" in arguments else {}
    algorithm = kind(
        kind.policy_aliases[description.policy],
        None,
        policy_kwargs=arguments,
        device="cpu",
        _init_setup_model=False,
        **options,
    )
    algorithm.observation_space = from_json(description.observation_space)
    algorithm.action_space = from_json(description.action_space)
    algorithm.n_envs = 1
    if hasattr(algorithm, "target_entropy"):  # its default would be asked of the environment
        algorithm.target_entropy = -float(np.prod(algorithm.action_space.shape))
    if policy.normalizer is not None:  # how `_check_statistics` knows a training with VecNormalize
        algorithm._last_original_obs = create_empty_array(algorithm.observation_space)
    _set_up(algorithm)
    algorithm.policy.load_state_dict(policy.module.state_dict())
    return algorithm  # type: ignore[no-any-return]


def _set_up(algorithm: BaseAlgorithm) -> None:
    """Make the networks; but no replay buffer of full size, which would not be saved anyway."""
    if not isinstance(algorithm, OffPolicyAlgorithm):
        algorithm._setup_model()
        return
    size, algorithm.buffer_size = algorithm.buffer_size, 1
    algorithm._setup_model()
    algorithm.buffer_size = size


class _Spaces(gymnasium.Env[Any, Any]):
    """All that `VecNormalize` asks of an environment until it is stepped."""

    def __init__(self, description: Description) -> None:
        self.observation_space = from_json(description.observation_space)
        self.action_space = from_json(description.action_space)


def _vec_normalize(description: Description, normalizer: Normalizer) -> VecNormalize:
    several = description.observation_space["kind"] == "Dict"
    env = VecNormalize(
        DummyVecEnv([lambda: _Spaces(description)]),
        training=False,
        norm_reward=False,
        clip_obs=normalizer.clip,
        epsilon=normalizer.epsilon,
        norm_obs_keys=list(normalizer.mean) if several else None,
    )
    for key, mean in normalizer.mean.items():
        statistics: Any = env.obs_rms[key] if several else env.obs_rms
        statistics.mean, statistics.var = mean, normalizer.variance[key]
        statistics.count = OBSERVATIONS_BEHIND_STATISTICS
    return env


def _write_new(path: Path, content: bytes) -> None:
    try:
        write_output(path, content)
    except OSError as error:
        raise InvalidOptionError(f"{path} can't be written: {error.strerror or error}") from error
