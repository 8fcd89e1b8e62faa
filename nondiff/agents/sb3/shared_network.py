"""Stable-Baselines3 policies around a network of ours, so that it is the one that is trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor, nn

from nondiff.agents.policies.network import MLP

SATURATED = 1 - 1e-6  # largest magnitude whose inverse hyperbolic tangent is taken


class _Squashed(nn.Module):
    """The network's actions in [-1, 1], the units of the off-policy algorithms; or before tanh."""

    def __init__(self, module: nn.Module, space: Any, is_squashed: bool) -> None:
        super().__init__()
        self.module, self._is_squashed = module, is_squashed
        low, high = (torch.as_tensor(bound.ravel()).float() for bound in (space.low, space.high))
        self.register_buffer("centre", (low + high) / 2, persistent=False)
        self.register_buffer("reach", (high - low) / 2, persistent=False)

    def forward(self, observation: Tensor) -> Tensor:
        if isinstance(self.module, MLP) and not self._is_squashed:
            return self.module.raw(observation)
        squashed: Tensor = (self.module(observation) - self.centre) / self.reach
        if self._is_squashed:
            return squashed
        return torch.atanh(squashed.clamp(-SATURATED, SATURATED))


def around(base: type[BasePolicy], module: nn.Module) -> type[BasePolicy]:
    """A policy class like `base` whose actions come from a copy of the network.

    Critics and value functions stay Stable-Baselines3's own. A stochastic policy explores around
    the network's action, with a deviation of its own.
    """
    return (
        _on_policy(base, module)
        if issubclass(base, ActorCriticPolicy)
        else _off_policy(base, module)
    )


def _on_policy(base: Any, module: nn.Module) -> type[BasePolicy]:
    class OnPolicyNetwork(base):  # type: ignore[misc]
        def _build(self, lr_schedule: Any) -> None:
            super()._build(lr_schedule)
            self.action_net = copy.deepcopy(module)
            self.optimizer = self.optimizer_class(
                self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
            )

    return OnPolicyNetwork


def _off_policy(base: Any, module: nn.Module) -> type[BasePolicy]:
    class OffPolicyNetwork(base):  # type: ignore[misc]
        def make_actor(self, features_extractor: Any = None) -> Any:
            actor = super().make_actor(features_extractor)
            is_squashed = not hasattr(actor, "action_dist")  # a deterministic actor
            actor.mu = _Squashed(copy.deepcopy(module), self.action_space, is_squashed)
            return actor.to(self.device)

    return OffPolicyNetwork


def network_of(algorithm: BaseAlgorithm) -> nn.Module:
    """The network inside the policy of an algorithm."""
    policy: Any = algorithm.policy
    found = policy.action_net if isinstance(policy, ActorCriticPolicy) else policy.actor.mu.module
    assert isinstance(found, nn.Module)
    return found
