"""A neural surrogate of a black box: its outcome, its Jacobian, and whether it fails."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nondiff.agents.pathwise.configs import Surrogate
from nondiff.agents.pathwise.rows import Rows

MIN_DEVIATION = 1e-6
WILDEST_SLOPE = 30.0  # deviations of an outcome over half a Box; steeper rows are near a jump
VALIDITY_WEIGHT = 0.02  # of the failures' cross-entropy beside the outcomes' error
DIRECTIONS = 2  # in which a Jacobian is compared at each step
LAST_RATE = 0.05  # share of the learning rate at the end of a fit


@dataclass
class Transitions(Rows):
    """What the black box was asked and what it answered, one row each, float32.

    Args:
        inputs: (rows, state + action).
        base: (rows, outcome) what the surrogate adds to: the state in long episodes, else zero.
        outcome: (rows, outcome); NaN where it failed.
        jacobian: (rows, outcome, action); NaN where it is not known.
    """

    inputs: Tensor
    base: Tensor
    outcome: Tensor
    jacobian: Tensor


class SurrogateModel(nn.Module):
    """Maps (state, action) to standardised outcomes, less what they are without an action.

    One network a member; each has a last output for the logit of the probability of success.

    Args:
        inputs: size of state and action.
        actions: size of the action, the last of the inputs.
        outcomes: size of the outcome.
        config: sizes and the number of members.
    """

    input_mean: Tensor
    input_deviation: Tensor
    outcome_mean: Tensor
    outcome_deviation: Tensor

    def __init__(self, inputs: int, actions: int, outcomes: int, config: Surrogate) -> None:
        super().__init__()
        self.outcomes, self._actions = outcomes, actions
        self.members = nn.ModuleList(
            _member(inputs, outcomes + 1, config.surrogate_net_arch) for _ in range(config.members)
        )
        for name, size in (("input", inputs), ("outcome", outcomes)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_deviation", torch.ones(size))

    def standardise(self, data: Transitions) -> None:
        """Take the scales of inputs and outcomes from these rows, and keep them for good."""
        good = torch.isfinite(data.outcome).all(dim=1)
        for name, rows in (("input", data.inputs), ("outcome", (data.outcome - data.base)[good])):
            if len(rows) > 1:
                deviation = rows.std(dim=0)
                fixed = deviation < MIN_DEVIATION
                getattr(self, f"{name}_mean").copy_(rows.mean(dim=0))
                getattr(self, f"{name}_deviation").copy_(deviation.masked_fill(fixed, 1.0))

    def forward(self, inputs: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outcomes (n, outcome), probabilities of success (n,), and disagreement (n,).

        The disagreement is the members' deviation from their mean, in deviations of the outcomes.
        """
        scaled = (inputs - self.input_mean) / self.input_deviation
        found = torch.stack([member(scaled) for member in self.members])  # (members, n, outcome+1)
        standard, logit = found[..., :-1], found[..., -1]
        mean = standard.mean(dim=0)
        spread = (standard - mean).square().mean(dim=(0, 2))
        outcome = base + mean * self.outcome_deviation + self.outcome_mean
        return outcome, torch.sigmoid(logit).mean(dim=0), spread

    def fit(self, data: Transitions, config: Surrogate, steps: int) -> dict[str, float]:
        """Fit all members; returns the last errors, in squared deviations of the outcomes."""
        errors = [self._fit(member, data, config, steps) for member in self.members]
        names = ("surrogate/outcome_error", "surrogate/jacobian_error")
        return {
            name: sum(values) / len(errors)
            for name, values in zip(names, zip(*errors, strict=True), strict=True)
        }

    def _fit(
        self, member: nn.Module, data: Transitions, config: Surrogate, steps: int
    ) -> tuple[float, float]:
        optimizer = torch.optim.Adam(member.parameters(), config.surrogate_learning_rate)
        rates = cosine(optimizer, steps, LAST_RATE)
        size = min(config.surrogate_batch_size, len(data))
        error = slope_error = torch.zeros(())
        for _ in range(steps):
            rows = torch.randint(len(data), (size,), device=data.inputs.device)
            error, slope_error, validity = self._errors(member, data.chosen(rows))
            loss = error + config.jacobian_weight * slope_error + VALIDITY_WEIGHT * validity
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
        return float(error.detach()), float(slope_error.detach())

    def _errors(self, member: nn.Module, batch: Transitions) -> tuple[Tensor, Tensor, Tensor]:
        scaled = (batch.inputs - self.input_mean) / self.input_deviation
        good = torch.isfinite(batch.outcome).all(dim=1)
        wanted = (batch.outcome - batch.base - self.outcome_mean) / self.outcome_deviation
        slopes = batch.jacobian * self.input_deviation[-self._actions :]
        slopes = slopes / self.outcome_deviation[:, None]
        steepness = slopes.norm(dim=2)
        known = torch.isfinite(steepness) & (steepness < WILDEST_SLOPE)  # (n, outcome)
        if known.any():
            tangent = torch.zeros(DIRECTIONS, *scaled.shape, device=scaled.device)
            drawn = torch.randn(DIRECTIONS, len(scaled), self._actions, device=scaled.device)
            tangent[..., -self._actions :] = drawn
            found, moved = _with_tangents(member, scaled, tangent)
            expected = torch.einsum("noa,dna->dno", slopes.nan_to_num(), drawn)
            miss = (moved[..., :-1] - expected).square() * known
            slope_error = miss.mean() / steepness[known].square().mean()
        else:
            found, slope_error = member(scaled), torch.zeros((), device=scaled.device)
        miss = (found[:, :-1] - wanted.nan_to_num()).square().mean(dim=1)
        validity = nn.functional.binary_cross_entropy_with_logits(found[:, -1], good.float())
        return (miss * good).mean(), slope_error, validity


def cosine(
    optimizer: torch.optim.Optimizer, steps: int, last: float
) -> torch.optim.lr_scheduler.LRScheduler:
    """A learning rate that falls along a cosine to a last share of it."""
    rate = optimizer.param_groups[0]["lr"]
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps), last * rate)


def _member(inputs: int, outputs: int, net_arch: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in net_arch:
        layers += [nn.Linear(inputs, width), nn.SiLU()]  # smooth: its slopes are fitted too
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def _with_tangents(member: nn.Module, values: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """A member's outputs (n, outputs), and their changes (d, n, outputs) along tangents.

    Forward-mode differentiation by hand: a third of the time of `torch.func.jvp` here.
    """
    for layer in member.children():
        if isinstance(layer, nn.Linear):
            values, tangents = layer(values), tangents @ layer.weight.T
        else:  # SiLU: x s(x), whose derivative is s(x) (1 + x (1 - s(x)))
            gate = torch.sigmoid(values)
            tangents = tangents * (gate * (1 + values * (1 - gate)))
            values = values * gate
    return values, tangents
