"""Episodes played through an operator, so that their returns have a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nondiff.black_box import BlackBox, Start

Act = Callable[[Tensor], Tensor]  # flattened observations (n, observation) to actions (n, action)
Operate = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Rollout:
    """The results of episodes.

    Attributes:
        returns: (n,) with a gradient.
        transitions: state, action and outcome (rows, ...) of each step, without one.
        is_cut: whether the limit on rows ended episodes.
        left: where the episodes that have not ended are; None: all have.
    """

    returns: Tensor
    transitions: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    is_cut: bool = False
    left: Start | None = None


def rollout(
    box: BlackBox,
    operate: Operate,
    act: Act,
    start: Start,
    device: torch.device,
    max_rows: int,
    most_steps: int | None = None,
) -> Rollout:
    """Play episodes until they end or the limit is reached.

    Args:
        box: whose observations, rewards and ends are used.
        operate: what stands for its transition.
        act: the policy.
        start: of the episodes.
        device: where it is computed.
        max_rows: rows that `operate` may be given in all.
        most_steps: transitions of each episode; None: the black box's horizon.
    """
    state, context = (torch.from_numpy(part).to(device) for part in (start.state, start.context))
    played = Rollout(torch.zeros(len(context), dtype=torch.float64, device=device))
    alive = torch.arange(len(context), device=device)
    for _ in range(most_steps or box.horizon):
        if len(alive) > max_rows:
            played.is_cut = True
            alive, state, context = alive[:max_rows], state[:max_rows], context[:max_rows]
        if len(alive) == 0:
            break
        max_rows -= len(alive)
        action = act(box.observation(state, context).float()).double()
        outcome = operate(state, action)
        played.transitions.append((state.detach(), action.detach(), outcome.detach()))
        good = torch.isfinite(outcome.detach()).all(dim=1)
        parts = [part[good] for part in (state, action, outcome, context)]
        reward = torch.full_like(played.returns[alive], box.failure_reward)
        reward = reward.index_put((good.nonzero().squeeze(1),), box.reward(*parts))
        played.returns = played.returns.index_add(0, alive, reward)
        alive, state, context = alive[good], box.next_state(parts[0], parts[2]), parts[3]
        success = box.success(*parts)
        if success is not None:
            on = ~success
            alive, state, context = alive[on], state[on], context[on]
    if len(alive):
        played.left = Start(state.detach().cpu().numpy(), context.cpu().numpy())
    return played
