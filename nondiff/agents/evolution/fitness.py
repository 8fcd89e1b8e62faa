"""Returns of candidate policies, in a black box or in any Gymnasium environment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nondiff.agents.iterations import device
from nondiff.agents.policies.network import NetworkPolicy
from nondiff.agents.rollout import rollout
from nondiff.agents.seeds import training_seed
from nondiff.agents.strategy import Training
from nondiff.black_box import BlackBox, Meter
from nondiff.errors import EnvironmentFailedError, NonFiniteError, details_of, what_went_wrong
from nondiff.gym.returns import parts


class Fitness(ABC):
    """Plays episodes within a budget of calls.

    Attributes:
        calls: transitions, or steps, so far.
        meter: what they pass through in a black box.
    """

    calls: int
    meter: Meter | None = None

    @abstractmethod
    def mean_return(self, policy: NetworkPolicy, iteration: int) -> float | None:
        """The policy's mean return over the episodes of an iteration; None: the budget ended."""

    def resume_from(self, calls: int) -> None:  # noqa: B027
        """Count on from where an interrupted training was, where no meter does."""


class BlackBoxFitness(Fitness):
    """Plays all of a candidate's episodes at once."""

    def __init__(self, box: BlackBox, training: Training, episodes: int, most_steps: int) -> None:
        self.meter = self._meter = Meter(box, training.budget)
        self._training, self._episodes = training, episodes
        self._steps = min(most_steps, box.horizon)

    @property
    def calls(self) -> int:  # type: ignore[override]
        return self._meter.calls

    @torch.no_grad()
    def mean_return(self, policy: NetworkPolicy, iteration: int) -> float | None:
        meter = self._meter
        start = meter.box.initial(
            self._episodes, np.random.default_rng([self._training.seed, iteration])
        )
        played = rollout(
            meter.box,
            self._call,
            policy.module,
            start,
            device(self._training),
            meter.remaining(),
            self._steps,
        )
        return None if played.is_cut else float(played.returns.mean())

    def _call(self, state: Tensor, action: Tensor) -> Tensor:
        inputs = (part.cpu().numpy() for part in (state, action))
        return torch.from_numpy(self._meter.transition(*inputs)).to(action)


class EnvironmentFitness(Fitness):
    """Plays a candidate's episodes one after another."""

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        training: Training,
        episodes: int,
        most_steps: int,
    ) -> None:
        self._env, self._training = env, training
        self._episodes, self._steps = episodes, most_steps
        self.calls = 0

    def resume_from(self, calls: int) -> None:
        self.calls = calls

    def mean_return(self, policy: NetworkPolicy, iteration: int) -> float | None:
        first = training_seed(self._training.seed, iteration)
        total = 0.0
        for episode in range(self._episodes):
            try:
                observation, _ = self._env.reset(seed=first + episode)
                played = self._episode(policy, observation)
            except NonFiniteError:
                raise
            except Exception as error:
                raise EnvironmentFailedError(
                    f"the environment {what_went_wrong(error)}, at step {self.calls}",
                    details_of(error),
                ) from error
            if played is None:
                return None
            total += played
        return total / self._episodes

    def _episode(self, policy: NetworkPolicy, observation: Any) -> float | None:
        total, done, steps = 0.0, False, 0
        while not done and steps < self._steps:
            if self.calls >= self._training.budget:
                return None
            action: NDArray[Any] = policy.predict(observation)
            observation, reward, terminated, truncated, _ = self._env.step(action)
            self.calls, steps = self.calls + 1, steps + 1
            _check_finite(float(reward), observation, self.calls)
            total += float(reward)
            done = terminated or truncated
        return total


def _check_finite(reward: float, observation: Any, step: int) -> None:
    values = (part for _, part in parts(observation))
    if not (np.isfinite(reward) and all(np.isfinite(part).all() for part in values)):
        raise NonFiniteError(f"a reward or an observation is NaN or infinite at step {step}")
