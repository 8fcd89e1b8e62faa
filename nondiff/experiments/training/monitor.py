"""Watches a training: evaluates, keeps the best model, and says when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import gymnasium
import numpy as np
from annotated_types import Ge

from nondiff.agents.seeds import selection_seeds
from nondiff.agents.strategy import EndReason, TrainedPolicy
from nondiff.experiments.evaluation.episodes import Episode, play
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.metrics import MetricsWriter, evaluation_calls
from nondiff.experiments.stopping import Stop
from nondiff.experiments.training.callbacks import Callbacks
from nondiff.experiments.training.display import Display


@dataclass(frozen=True)
class EvaluationPlan:
    """When and how a policy is evaluated during training.

    Args:
        every: environment steps between evaluations.
        episodes: episodes an evaluation.
        confirm_episodes: episodes to which an evaluation that would end training is extended.
        stop_at_success: success rate that ends training; None: none does.
        stop_at_return: mean return that ends training; None: none does.
    """

    every: Annotated[int, Ge(1)]
    episodes: Annotated[int, Ge(1)]
    confirm_episodes: Annotated[int, Ge(1)]
    stop_at_success: float | None
    stop_at_return: float | None


class TrainingMonitor:
    """The observer that `train` plugs into a strategy.

    The best model is the one with the highest success rate, and the highest mean return among
    equals or where success is not reported.
    """

    def __init__(
        self,
        run: Run,
        env: gymnasium.Env[Any, Any],
        plan: EvaluationPlan,
        display: Display,
        metrics: MetricsWriter,
        stop: Stop,
        callbacks: Callbacks,
    ) -> None:
        self._run = run
        self._env = env
        self._plan = plan
        self._display = display
        self._metrics = metrics
        self._stop = stop
        self._callbacks = callbacks
        seed = run.config.seed or 0
        self._seeds = selection_seeds(seed, max(plan.episodes, plan.confirm_episodes))
        self._next_evaluation = plan.every
        self._kept_at: int | None = None
        self.reason: EndReason | None = None
        self._calls: dict[int, int] = {}  # of each evaluation, by its step
        self.start: int | None = None
        self.steps = 0

    @property
    def evaluation_calls(self) -> int:
        """Calls that evaluations have made since the run began."""
        return sum(self._calls.values())

    def begin(self, steps: int, evaluated: bool = True) -> bool:
        self.start = self.steps = steps
        self._next_evaluation = self._evaluation_after(steps)
        self._calls = evaluation_calls(self._metrics.begin(steps, self.note))
        self._display.begin(steps)
        last = max((s for s in self._calls if s < steps + evaluated), default=0)
        return self._evaluation_after(last) <= steps

    def after_step(self, steps: int, mean_return: float | None, success: float | None) -> bool:
        self.steps = steps
        self._display.update(steps, mean_return, success)
        self._stop.check()
        goes_on = self._callbacks.progress(steps, mean_return)
        return steps >= self._next_evaluation or not goes_on

    def evaluate(self, steps: int, policy: TrainedPolicy) -> EndReason | None:
        if steps == self._kept_at:
            return self.reason
        self._next_evaluation = self._evaluation_after(steps)
        episodes = self._evaluate(policy)
        success, mean_return = _success(episodes), _mean_return(episodes)
        score = (success or 0.0, mean_return)
        # Of all that the run has kept, also before it was interrupted.
        best = self._run.score("best")
        is_best = best is None or score > best
        roles = ["best", "last"] if is_best else ["last"]
        self._run.note_evaluation(success, mean_return)
        self._run.save_model(policy, steps, roles, score)
        self._kept_at = steps
        self._record(steps, episodes)  # last: an evaluation with a row is one that is done
        self._callbacks.evaluation(steps, success, mean_return)
        self.reason = self._end_reason(steps, episodes)
        return self.reason

    def _end_reason(self, steps: int, episodes: list[Episode]) -> EndReason | None:
        if self._callbacks.ended_by is not None:
            self.note(f"{self._callbacks.ended_by} ended the training at step {steps:,}")
            return "callback"
        return self._solved_by(episodes)

    def keep(self, steps: int, policy: TrainedPolicy) -> None:
        if steps == self._kept_at:
            return
        roles = ["last"] if "best" in self._run.state.models else ["best", "last"]
        self._run.save_model(policy, steps, roles)
        self._kept_at = steps

    def record(self, steps: int, metrics: Mapping[str, float]) -> None:
        self._metrics.write(steps, metrics)

    def note(self, text: str) -> None:
        self._display.line(text)

    def _evaluation_after(self, steps: int) -> int:
        return (steps // self._plan.every + 1) * self._plan.every

    def _evaluate(self, policy: TrainedPolicy) -> list[Episode]:
        first, more = self._plan.episodes, self._plan.confirm_episodes
        episodes = self._play(policy, self._seeds[:first])
        if self._solved_by(episodes) and more > first:
            episodes += self._play(policy, self._seeds[first:more])
        return episodes

    def _play(self, policy: TrainedPolicy, seeds: list[int]) -> list[Episode]:
        return play(self._env, policy, seeds, on_step=lambda _: self._stop.check(), note=self.note)

    def _solved_by(self, episodes: list[Episode]) -> Literal["success", "return"] | None:
        success, plan = _success(episodes), self._plan
        if plan.stop_at_return is not None and _mean_return(episodes) >= plan.stop_at_return:
            return "return"
        if success is None or plan.stop_at_success is None or success < plan.stop_at_success:
            return None
        return "success"

    def _record(self, steps: int, episodes: list[Episode]) -> None:
        success, mean_return = _success(episodes), _mean_return(episodes)
        row = {
            "evaluation/return_mean": mean_return,
            "evaluation/length_mean": float(np.mean([e.length for e in episodes])),
            "evaluation/episodes": float(len(episodes)),
        }
        text = f"{steps:>9,} steps  evaluation of {len(episodes):>3} episodes: "
        if success is not None:
            row["evaluation/success"] = success
            text += f"success {success:4.0%}  "
        self._metrics.write(steps, row)
        self._calls[steps] = sum(episode.length for episode in episodes)
        self._display.line(f"{text}return {mean_return:.2f}")


def _success(episodes: list[Episode]) -> float | None:
    if any(episode.success is None for episode in episodes):
        return None
    return float(np.mean([bool(episode.success) for episode in episodes]))


def _mean_return(episodes: list[Episode]) -> float:
    return float(np.mean([episode.episode_return for episode in episodes]))
