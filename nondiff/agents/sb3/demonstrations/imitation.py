"""Behaviour cloning: the policy imitates demonstrations, before it meets the environment or after.

Imitation beside reinforcement is that of Nair et al. 2018, "Overcoming exploration in reinforcement
learning with demonstrations", arXiv:1709.10089, without the filter by the critic: a critic that
overrates the actor would seldom let it imitate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.running_mean_std import RunningMeanStd
from torch import Tensor
from torch.nn import functional

from nondiff.agents.demonstrations.dataset import Demonstrations, rows_of
from nondiff.agents.sb3.algorithms.reinforcement import ImitationError

BATCH_SIZE = 256
LEARNING_RATE = 1e-3  # of the warm start, at first; it falls linearly to zero
REPORT_EVERY = 100  # gradient steps
ERRORS: dict[ImitationError, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": functional.mse_loss,
    "absolute": functional.l1_loss,
}
FOR_GOOD = 1e12  # so many observations in running statistics that no more of them count


def settle_statistics(algorithm: BaseAlgorithm, demonstrations: Demonstrations) -> None:
    """Give running statistics of observations, where there are any, the values of those shown.

    There they stay: what was imitated at one scale would mean something else at another.
    """
    env = algorithm.get_vec_normalize_env()
    if env is None or not env.norm_obs:
        return
    found: Any = env.obs_rms
    if isinstance(found, dict):
        for key, statistics in found.items():
            _settle(statistics, demonstrations.observations[key])
    else:
        _settle(found, demonstrations.observations)


def _settle(statistics: RunningMeanStd, values: NDArray[Any]) -> None:
    statistics.update(values)
    statistics.count = FOR_GOOD


def warm_start(
    algorithm: BaseAlgorithm,
    demonstrations: Demonstrations,
    steps: int,
    rng: np.random.Generator,
    progress: Callable[[], object],
    error: ImitationError = "squared",
) -> None:
    """Take gradient steps towards the demonstrated actions.

    A value function that goes with the policy learns what the demonstrations returned, so that the
    first updates after it know how good a state is.

    Args:
        algorithm: its policy is changed in place; its optimisers are not used.
        demonstrations: what is imitated.
        steps: gradient steps.
        rng: draws the batches.
        progress: called now and then.
        error: see `imitation_loss`.
    """
    policy: Any = algorithm.policy
    policy.set_training_mode(True)
    optimizer = torch.optim.Adam(_actor(policy).parameters(), LEARNING_RATE)
    returns = _returns(algorithm, demonstrations)
    for step in range(steps):
        if step % REPORT_EVERY == 0:
            progress()
        rows = rng.integers(len(demonstrations), size=BATCH_SIZE)
        rate = LEARNING_RATE * (1 - step / steps)
        _step(algorithm, demonstrations, rows, optimizer, rate, error, returns)
    if hasattr(policy, "actor_target"):
        policy.actor_target.load_state_dict(policy.actor.state_dict())


def _step(
    algorithm: BaseAlgorithm,
    demonstrations: Demonstrations,
    rows: NDArray[np.int64],
    optimizer: torch.optim.Optimizer,
    rate: float,
    error: ImitationError,
    returns: NDArray[np.float64] | None = None,
) -> float:
    """One gradient step towards the actions, and returns, of some rows; gives the loss."""
    observations = _observations(algorithm, demonstrations, rows)
    loss = imitation_loss(algorithm.policy, observations, demonstrations.actions[rows], error)
    if returns is not None:
        loss = loss + _value_loss(algorithm.policy, observations, returns[rows])
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def _returns(
    algorithm: BaseAlgorithm, demonstrations: Demonstrations
) -> NDArray[np.float64] | None:
    """The discounted return from each step on, (n,); NaN where the episode was cut short.

    None where there is no value function of the policy's, or rewards are of no known scale.
    """
    env, gamma = algorithm.get_vec_normalize_env(), getattr(algorithm, "gamma", 1.0)
    if not isinstance(algorithm.policy, ActorCriticPolicy) or (env and env.norm_reward):
        return None
    returns = np.empty(len(demonstrations))
    following = 0.0
    for row in reversed(range(len(demonstrations))):
        if demonstrations.last[row]:
            following = 0.0 if demonstrations.terminated[row] else np.nan
        following = demonstrations.rewards[row] + gamma * following
        returns[row] = following
    return returns


def _value_loss(policy: Any, observations: Any, returns: NDArray[np.float64]) -> Tensor:
    """The mean squared error of known returns, in units of their variance."""
    values = policy.predict_values(observations).flatten()
    known = np.isfinite(returns)
    if not known.any():
        return torch.zeros((), device=policy.device)
    target = torch.as_tensor(returns[known], dtype=torch.float32, device=policy.device)
    return functional.mse_loss(values[known], target) / (1 + target.var(correction=0))


def _actor(policy: Any) -> torch.nn.Module:
    actor = policy if isinstance(policy, ActorCriticPolicy) else policy.actor
    assert isinstance(actor, torch.nn.Module)
    return actor


def imitation_loss(
    policy: Any, observations: Any, actions: NDArray[Any], error: ImitationError = "squared"
) -> Tensor:
    """How far the policy is from demonstrated actions.

    Continuous actions: the mean squared, or absolute, difference, in units of half the range of
    each entry where that is bounded. Of an off-policy algorithm actions are drawn, so that it
    learns too how little they vary; of the others, whose deviation is the same in all states, the
    mode is taken. Discrete actions: the negative log-likelihood.

    Args:
        policy: of Stable-Baselines3.
        observations: as tensors, normalised.
        actions: as the environment takes them, (n, shape).
        error: "squared" or "absolute".
    """
    space = policy.action_space
    if not isinstance(space, spaces.Box):
        target = torch.as_tensor(actions, device=policy.device)
        return -policy.get_distribution(observations).log_prob(target).mean()  # type: ignore[no-any-return]
    scale = np.ones(space.shape)
    if not isinstance(policy, ActorCriticPolicy):
        acted, actions = policy(observations, deterministic=False), policy.scale_action(actions)
    else:
        acted = policy.get_distribution(observations).mode()
        if space.is_bounded():
            scale = 2 / (space.high - space.low)
    shown = torch.as_tensor(actions, dtype=torch.float32, device=policy.device)
    units = torch.as_tensor(scale, dtype=torch.float32, device=policy.device).flatten()
    return ERRORS[error](acted.flatten(1) * units, shown.flatten(1) * units)


def _observations(
    algorithm: BaseAlgorithm, demonstrations: Demonstrations, rows: NDArray[np.int64]
) -> Any:
    batch = rows_of(demonstrations.observations, rows)
    env = algorithm.get_vec_normalize_env()
    if env is not None:
        batch = env.normalize_obs(batch)
    return algorithm.policy.obs_to_tensor(batch)[0]


def imitating(
    kind: type[OffPolicyAlgorithm], weight: float, error: ImitationError
) -> type[OffPolicyAlgorithm]:
    """An off-policy algorithm whose actor takes a step of imitation beside each of its own.

    Args:
        kind: the algorithm.
        weight: of the imitation, in units of the algorithm's learning rate.
        error: see `imitation_loss`.
    """

    class Imitating(kind):  # type: ignore[misc, valid-type]
        demonstrations: Demonstrations | None = None

        def _setup_model(self) -> None:
            super()._setup_model()
            self.imitation_optimizer = torch.optim.Adam(self.actor.parameters(), 0.0)

        def train(self, gradient_steps: int, batch_size: int = BATCH_SIZE) -> None:
            super().train(gradient_steps, batch_size)
            rate = weight * self.lr_schedule(self._current_progress_remaining)
            losses = [self._imitate(rate, batch_size) for _ in range(gradient_steps)]
            self.logger.record("train/imitation_loss", float(np.mean(losses)))

        def _imitate(self, rate: float, batch_size: int) -> float:
            assert self.demonstrations is not None
            rows = np.random.randint(len(self.demonstrations), size=batch_size)
            return _step(self, self.demonstrations, rows, self.imitation_optimizer, rate, error)

        def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
            names, variables = super()._get_torch_save_params()
            return [*names, "imitation_optimizer"], variables

    return Imitating
