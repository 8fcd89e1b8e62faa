"""Trains a policy through a surrogate that is fitted again where the policy goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nondiff.agents.hyperparameters import MAX_ROWS
from nondiff.agents.iterations import Learner, Tensors, device, prefixed, under
from nondiff.agents.pathwise.configs import Surrogate
from nondiff.agents.pathwise.operators import jacobians
from nondiff.agents.pathwise.rows import joined
from nondiff.agents.pathwise.surrogate import SurrogateModel, Transitions, cosine
from nondiff.agents.rollout import rollout
from nondiff.agents.strategy import Training
from nondiff.black_box import BlackBox, HasJacobian, Meter, Start

MODEL, DATA = "surrogate.", "data."
LAST_FIT = 4  # times as many steps, for nothing comes after it
CHUNK = 50  # gradient steps between looks at Ctrl-C
LAST_POLICY_RATE = 0.05  # share of the learning rate at the end of a round


class SurrogateLearner(Learner):
    """Iterations: calls at random actions; rounds of training, calls and fits; a last training."""

    def __init__(
        self, config: Surrogate, box: BlackBox, module: nn.Module, training: Training
    ) -> None:
        super().__init__(module, training)
        self._config, self._box = config, box
        self.meter = self._meter = Meter(box, training.budget)
        self._device = device(training)
        self._data: Transitions | None = None
        self._model: SurrogateModel | None = None
        self._is_done = False
        space = box.action_space
        low, high = (bound.ravel().astype(np.float64) for bound in (space.low, space.high))
        self._low, self._high, self._half = low, high, (high - low) / 2
        self._uses_jacobians = uses_jacobians(config, box)

    def iterate(self, rng: np.random.Generator) -> dict[str, float]:
        if self.iteration == 0:
            metrics = self._begin(rng)
        elif not self.is_spent():
            metrics = self._round(rng)
        else:
            metrics = self._train_policy(rng, self._config.final_policy_steps, 0.0)
            self._is_done = True
        self.calls = self._meter.calls
        return metrics | self._meter.ledger()

    def is_over(self) -> bool:
        return self._is_done

    def is_spent(self) -> bool:
        return self._meter.remaining() < self._row_cost()

    def _row_cost(self) -> int:
        extra = getattr(self._box, "jacobian_cost", 0) if self._uses_jacobians else 0
        return 1 + extra

    def _begin(self, rng: np.random.Generator) -> dict[str, float]:
        """Call the black box at random actions, and fit the surrogate to what it answers."""
        config = self._config
        share = config.initial_share if config.active else 1.0
        calls = max(self._row_cost(), int(self.training.budget * share))
        centre = (self._low + self._high) / 2

        def act(observation: Tensor) -> Tensor:
            noise = rng.standard_normal((len(observation), len(centre)))
            return self._within(centre + config.initial_deviation * self._half * noise)

        self._data, _ = self._collect(act, calls, rng)
        data = self._data
        self._model = self._new_model(data)
        self._model.standardise(data)
        return self._model.fit(data, config, 2 * config.surrogate_steps)

    def _new_model(self, data: Transitions) -> SurrogateModel:
        sizes = data.inputs.shape[1], len(self._low), data.outcome.shape[1]
        return SurrogateModel(*sizes, self._config).to(self._device)

    def _round(self, rng: np.random.Generator) -> dict[str, float]:
        """Train the policy, call the black box around it, and fit the surrogate again."""
        config = self._config
        assert self._data is not None
        assert self._model is not None
        metrics = self._train_policy(rng, config.policy_steps, LAST_POLICY_RATE)
        left_rounds = max(1, config.rounds - self.iteration + 1)
        calls = max(self._row_cost(), self._meter.remaining() // left_rounds)
        deviation = config.exploration * max(0.0, 1 - (self.iteration - 1) / config.rounds)

        def act(observation: Tensor) -> Tensor:
            with torch.no_grad():
                action = self.module(observation).cpu().double().numpy()
            noise = rng.standard_normal(action.shape)
            return self._within(action + deviation * self._half * noise)

        more, returns = self._collect(act, calls, rng)
        self._data = self._data.and_also(more)
        if len(returns):
            self.mean_return = float(np.mean(returns))
            metrics["surrogate/true_return"] = self.mean_return
        is_last = self.is_spent()
        return metrics | self._model.fit(
            self._data, config, config.surrogate_steps * LAST_FIT**is_last
        )

    def _within(self, action: np.ndarray[Any, Any]) -> Tensor:
        return torch.from_numpy(np.clip(action, self._low, self._high)).to(self._device)

    def _collect(
        self, act: Any, calls: int, rng: np.random.Generator
    ) -> tuple[Transitions, np.ndarray[Any, Any]]:
        """Play episodes in the black box for so many calls; also the returns of whole ones."""
        rows = min(calls, self._meter.remaining()) // self._row_cost()
        episodes = min(MAX_ROWS, max(1, rows // self._box.horizon))  # of any budget
        found: list[Transitions] = []
        returns: list[np.ndarray[Any, Any]] = []
        while rows > 0:
            start = self._box.initial(min(episodes, rows), rng)
            played = rollout(self._box, self._call, act, start, self._device, rows)
            rows -= sum(len(action) for _, action, _ in played.transitions)
            found += [self._transitions(*parts) for parts in played.transitions]
            if not played.is_cut:
                returns.append(played.returns.cpu().numpy())
            self.progress()
        return joined(found), np.concatenate(returns) if returns else np.zeros(0)

    def _call(self, state: Tensor, action: Tensor) -> Tensor:
        inputs = (part.detach().cpu().numpy() for part in (state, action))
        return torch.from_numpy(self._meter.transition(*inputs)).to(self._device)

    def _transitions(self, state: Tensor, action: Tensor, outcome: Tensor) -> Transitions:
        arrays = [part.cpu().numpy() for part in (state, action, outcome)]
        slopes = np.full((*arrays[2].shape, arrays[1].shape[1]), np.nan)
        if self._uses_jacobians:
            slopes = jacobians(self._meter, *arrays)
        return Transitions(
            torch.cat([state, action], dim=1).float(),
            self._base(state, outcome.shape[1]).float(),
            outcome.float(),
            torch.from_numpy(slopes).to(self._device).float(),
        )

    def _base(self, state: Tensor, outcomes: int) -> Tensor:
        """In long episodes the surrogate learns what a step changes."""
        if self._box.horizon > 1 and state.shape[1] == outcomes:
            return state
        return torch.zeros(len(state), outcomes, dtype=state.dtype, device=state.device)

    def _train_policy(self, rng: np.random.Generator, steps: int, last: float) -> dict[str, float]:
        """Ascend the believed return, the surrogate's weights frozen."""
        config, model = self._config, self._model
        assert model is not None
        model.requires_grad_(False)
        model.eval()
        optimizer = torch.optim.Adam(self.module.parameters(), config.learning_rate)
        rates = cosine(optimizer, steps, last)
        believed = torch.zeros(())
        for step in range(steps):
            believed = self._believed(model, self._imagined_start(rng))
            optimizer.zero_grad()
            (-believed).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.module.parameters(), config.max_grad_norm)
            optimizer.step()
            rates.step()
            if step % CHUNK == 0:
                self.progress()
        model.requires_grad_(True)
        model.train()
        return {"surrogate/believed_return": float(believed.detach())}

    def _imagined_start(self, rng: np.random.Generator) -> Start:
        """One-step episodes begin as they do; long ones anywhere that the data has been."""
        start = self._box.initial(self._config.batch_size, rng)
        if self._box.horizon == 1:
            return start
        assert self._data is not None
        rows = rng.integers(len(self._data), size=len(start.context))
        states = self._data.inputs[torch.from_numpy(rows), : start.state.shape[1]]
        return Start(states.cpu().double().numpy(), start.context)

    def _believed(self, model: SurrogateModel, start: Start) -> Tensor:
        """The mean return that the surrogate believes in, failures expected, disagreement paid for.

        A row counts with the probability that its episode has not failed before.
        """
        survival: list[Tensor] = []
        penalty: list[Tensor] = []

        def operate(state: Tensor, action: Tensor) -> Tensor:
            inputs = torch.cat([state, action], dim=1).float()
            outcome, valid, spread = model(inputs, self._base(state, model.outcomes).float())
            survival.append(valid)
            penalty.append(spread)
            return outcome.double()  # type: ignore[no-any-return]

        steps = min(self._config.unroll, self._box.horizon)
        most = len(start.context) * steps
        played = rollout(self._box, operate, self.module, start, self._device, most, steps)
        valid = torch.cat(survival).double()
        expected = played.returns.mean()
        if self._box.horizon == 1:
            expected = (valid * played.returns + (1 - valid) * self._box.failure_reward).mean()
        return expected - self._config.disagreement * torch.cat(penalty).mean()

    def values(self) -> dict[str, Any]:
        return {"is_done": self._is_done}

    def tensors(self) -> Tensors:
        assert self._model is not None
        return prefixed(MODEL, self._model.state_dict()) | prefixed(DATA, vars(self._data))

    def restore(self, values: dict[str, Any], tensors: Tensors) -> None:
        self._data = Transitions(**under(DATA, tensors)).to(self._device)
        self._model = self._new_model(self._data)
        self._model.load_state_dict(under(MODEL, tensors))
        self._is_done = bool(values["is_done"])


def uses_jacobians(config: Surrogate, box: BlackBox) -> bool:
    """Whether the black box's Jacobians are fitted."""
    possible = isinstance(box, HasJacobian) and box.horizon == 1
    return possible if config.jacobians is None else config.jacobians
