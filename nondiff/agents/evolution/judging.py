"""Returns of candidate policies, in a black box or in any Gymnasium environment."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nondiff.agents.network import NetworkPolicy
from nondiff.agents.seeds import training_seed
from nondiff.agents.strategy import Training
from nondiff.envs.black_box import BlackBox, Meter
from nondiff.envs.errors import EnvironmentFailedError, NonFiniteError


class Judge(ABC):
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

    @abstractmethod
    def go_on_from(self, calls: int, rows: dict[str, int]) -> None:
        """Count on from where an interrupted training was."""

    def rows(self) -> dict[str, int]:
        """Rows by kind."""
        return {}


class BlackBoxJudge(Judge):
    """Plays all of a candidate's episodes at once."""

    def __init__(self, box: BlackBox, training: Training, episodes: int, most_steps: int) -> None:
        self.meter = self._meter = Meter(box, training.budget)
        self._seed, self._episodes = training.seed, episodes
        self._steps = min(most_steps, box.horizon)

    @property
    def calls(self) -> int:  # type: ignore[override]
        return self._meter.calls

    def rows(self) -> dict[str, int]:
        return dict(self._meter.rows)

    def go_on_from(self, calls: int, rows: dict[str, int]) -> None:
        self._meter.go_on_from(calls, rows)

    @torch.no_grad()
    def mean_return(self, policy: NetworkPolicy, iteration: int) -> float | None:
        box = self._meter.box
        rng = np.random.default_rng([self._seed, iteration])
        start = box.initial(self._episodes, rng)
        state, context = torch.from_numpy(start.state), torch.from_numpy(start.context)
        total = 0.0
        for _ in range(self._steps):
            rows = min(len(context), self._meter.remaining())
            is_cut = rows < len(context)
            state, context = state[:rows], context[:rows]
            if rows:
                reward, state, context = self._step(policy, state, context)
                total += reward
            if is_cut:
                return None
            if not len(context):
                break
        return total / self._episodes

    def _step(
        self, policy: NetworkPolicy, state: Tensor, context: Tensor
    ) -> tuple[float, Tensor, Tensor]:
        """The sum of rewards, and the states and contexts of the episodes that go on."""
        box = self._meter.box
        action = policy.module(box.observation(state, context).float()).double()
        outcome = torch.from_numpy(self._meter.transition(state.numpy(), action.numpy()))
        good = torch.isfinite(outcome).all(dim=1)
        parts = [part[good] for part in (state, action, outcome, context)]
        reward = float(box.reward(*parts).sum()) + box.failure_reward * int((~good).sum())
        state, context = box.next_state(parts[0], parts[2]), parts[3]
        success = box.success(*parts)
        on = slice(None) if success is None else ~success
        return reward, state[on], context[on]


class EnvironmentJudge(Judge):
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

    def go_on_from(self, calls: int, rows: dict[str, int]) -> None:
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
                    f"the environment raised {type(error).__name__}: {error}, at step {self.calls}",
                    traceback.format_exc(),
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
    parts = observation.values() if isinstance(observation, dict) else [observation]
    if not (np.isfinite(reward) and all(np.isfinite(part).all() for part in parts)):
        raise NonFiniteError(f"a reward or an observation is NaN or infinite at step {step}")
