"""A policy of Stable-Baselines3 with its normalisation, kept without pickle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from gymnasium.spaces import Dict
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from nondiff.agents.policies import spaces
from nondiff.agents.sb3.library import ACTIVATIONS, find_algorithm, library_class
from nondiff.errors import DamagedModelError, UnknownNameError
from nondiff.validation import first_fault

POLICY, MEAN, VARIANCE = "policy.", "normalizer.mean.", "normalizer.variance."
ONLY = "observation"  # names the statistics of an observation that is no Dict


class PolicyArguments(BaseModel):
    """What the policy's constructor is given beside its spaces; None: its own default."""

    model_config = ConfigDict(extra="forbid", strict=True)

    net_arch: list[int] | None = None
    activation_fn: Literal["tanh", "relu", "elu", "leaky_relu", "silu"] | None = None
    log_std_init: float | None = None
    use_sde: bool | None = None
    n_critics: int | None = None
    n_quantiles: int | None = None

    def keywords(self) -> dict[str, Any]:
        """The arguments with names replaced by what they name."""
        given = self.model_dump(exclude_none=True)
        if self.activation_fn:
            given["activation_fn"] = ACTIVATIONS[self.activation_fn]
        return given


def _known(strategy: str) -> str:
    try:
        find_algorithm(strategy)
    except UnknownNameError as error:
        raise ValueError(str(error)) from error
    return strategy


class Description(BaseModel):
    """The JSON description of a policy."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["stable-baselines3"]
    strategy: Annotated[str, AfterValidator(_known)]
    policy: Literal["MlpPolicy", "CnnPolicy", "MultiInputPolicy"]
    arguments: PolicyArguments
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    normalizer_clip: float | None  # None: observations are not normalised
    normalizer_epsilon: float | None


@dataclass(frozen=True)
class Normalizer:
    """The observation half of `VecNormalize`, to the same bits, without its environment.

    Args:
        mean: running mean of each key, (shape of the observation).
        variance: running variance of each key, the same shape.
        clip: largest magnitude of a normalised entry.
        epsilon: added to the variance.
    """

    mean: dict[str, NDArray[np.float64]]
    variance: dict[str, NDArray[np.float64]]
    clip: float
    epsilon: float

    @classmethod
    def of(cls, env: VecNormalize) -> Normalizer:
        """A copy of the present statistics."""
        found = env.obs_rms if isinstance(env.obs_rms, dict) else {ONLY: env.obs_rms}
        statistics: dict[str, RunningMeanStd] = found
        return cls(
            {key: np.array(rms.mean) for key, rms in statistics.items()},
            {key: np.array(rms.var) for key, rms in statistics.items()},
            env.clip_obs,
            env.epsilon,
        )

    def __call__(self, observation: Any) -> Any:
        if not isinstance(observation, dict):
            return self._scaled(ONLY, observation)
        scaled = {key: self._scaled(key, observation[key]) for key in self.mean}
        return {**observation, **scaled}

    def _scaled(self, key: str, values: Any) -> NDArray[np.float32]:
        deviation = np.sqrt(self.variance[key] + self.epsilon)
        scaled = np.clip((values - self.mean[key]) / deviation, -self.clip, self.clip)
        return scaled.astype(np.float32)  # type: ignore[no-any-return]


class ReinforcementPolicy:
    """A Stable-Baselines3 policy, alone or with the statistics that belong to it."""

    def __init__(
        self, description: Description, module: BasePolicy, normalizer: Normalizer | None
    ) -> None:
        self._description = description
        self.module = module
        self.normalizer = normalizer

    def predict(self, observation: Any, deterministic: bool = True) -> NDArray[Any]:
        """The action for one observation, or for a batch of them."""
        if self.normalizer is not None:
            observation = self.normalizer(observation)
        # A single discrete action is a number: many environments look it up in a table.
        return self.module.predict(observation, deterministic=deterministic)[0][()]

    def description(self) -> dict[str, Any]:
        return self._description.model_dump()

    def tensors(self) -> dict[str, Tensor]:
        found = {POLICY + key: value.clone() for key, value in self.module.state_dict().items()}
        if self.normalizer is not None:
            for key in self.normalizer.mean:
                found[MEAN + key] = torch.tensor(self.normalizer.mean[key])
                found[VARIANCE + key] = torch.tensor(self.normalizer.variance[key])
        return found


def rebuild(data: dict[str, Any], tensors: dict[str, Tensor]) -> ReinforcementPolicy:
    """The policy that `description` and `tensors` were taken of.

    Raises:
        DamagedModelError: they do not describe one, or do not fit each other.
    """
    try:
        description = Description.model_validate(data)
        module = _module(description)
        weights = {k.removeprefix(POLICY): v for k, v in tensors.items() if k.startswith(POLICY)}
        module.load_state_dict(weights, strict=True)
        module.set_training_mode(False)
        return ReinforcementPolicy(description, module, _normalizer(description, tensors))
    except ValidationError as error:
        raise DamagedModelError(f"the description is invalid: {first_fault(error)}") from error
    except (
        LookupError,
        ValueError,
        TypeError,
        ArithmeticError,
        RuntimeError,
        AssertionError,
    ) as error:
        raise DamagedModelError(f"the description and the weights do not fit: {error}") from error


class _NoOptimizer:
    """Stands where a policy keeps an optimiser: making a real one takes torch a second."""

    def __init__(self, parameters: Any, lr: float, **options: Any) -> None:
        """Predicting needs none of these."""


def _module(description: Description) -> BasePolicy:
    kind = library_class(find_algorithm(description.strategy))
    build = kind.policy_aliases[description.policy]
    return build(
        spaces.from_json(description.observation_space),
        spaces.from_json(description.action_space),
        lambda _: 0.0,  # a learning rate, which predicting never asks for
        optimizer_class=_NoOptimizer,
        **description.arguments.keywords(),
    )


def _normalizer(description: Description, tensors: dict[str, Tensor]) -> Normalizer | None:
    if description.normalizer_clip is None or description.normalizer_epsilon is None:
        return None
    mean, variance = (
        {k.removeprefix(prefix): v.numpy() for k, v in tensors.items() if k.startswith(prefix)}
        for prefix in (MEAN, VARIANCE)
    )
    if not mean or mean.keys() != variance.keys():
        raise DamagedModelError("the normalisation statistics are incomplete")
    space = spaces.from_json(description.observation_space)
    for key in mean:
        shape = space[key].shape if isinstance(space, Dict) else space.shape
        if not mean[key].shape == variance[key].shape == shape:
            raise DamagedModelError(f"the normalisation statistics of {key} have another shape")
    return Normalizer(mean, variance, description.normalizer_clip, description.normalizer_epsilon)
