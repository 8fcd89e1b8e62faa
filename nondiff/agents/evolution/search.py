"""Searches a policy's weights with CMA-ES."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import torch
from cmaes import CMA, SepCMA
from gymnasium import spaces
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from nondiff.agents.capabilities import check_product, check_values
from nondiff.agents.evolution.configs import CMAES
from nondiff.agents.evolution.fitness import BlackBoxFitness, EnvironmentFitness, Fitness
from nondiff.agents.iterations import Learner, Tensors, new_module, run
from nondiff.agents.policies.network import NetworkPolicy
from nondiff.agents.rehearsal import rehearse_network
from nondiff.agents.strategy import Observer, Training
from nondiff.black_box import find_black_box
from nondiff.errors import IncompatibleStrategyError

__all__ = ["check", "train"]  # what `Strategy` asks of a trainer

MAX_NUMBERS = 10**9  # in the candidates of a generation: 8 GB
ARRAYS = ("_mean", "_C", "_pc", "_p_sigma")  # what a generation changes in the search
SEARCH = "search."


def check(config: CMAES, env: gymnasium.Env[Any, Any]) -> None:
    """Refuse spaces that no network fits; see `Strategy.check`."""
    check_values(config)
    if not isinstance(env.action_space, spaces.Box | spaces.Discrete):
        raise IncompatibleStrategyError(
            f"{config.name} acts in Box and Discrete spaces, and this environment has "
            f"{env.action_space}"
        )
    rehearse_network(config.name, env, config.net_arch, config.activation)
    if config.population is not None:
        flat = (spaces.flatdim(env.observation_space), spaces.flatdim(env.action_space))
        sizes = (flat[0], *config.net_arch, flat[1])
        weights = sum(before * after for before, after in pairwise(sizes))
        found = config.population * weights
        check_product(config, ("population", "net_arch"), found, MAX_NUMBERS, "weights of all")


def train(config: CMAES, training: Training, observer: Observer) -> NetworkPolicy:
    """Search until the budget is spent or the observer ends it; see `Strategy.train`."""
    with training.recipe.opened() as env:
        module = new_module(training, env, config.net_arch, config.activation)
        policy = NetworkPolicy(module, env.observation_space, env.action_space)
        box = find_black_box(env)
        fitness: Fitness
        if box is not None:
            fitness = BlackBoxFitness(box, training, config.episodes, config.most_steps)
        else:
            fitness = EnvironmentFitness(env, training, config.episodes, config.most_steps)
        learner = EvolutionLearner(config, fitness, policy, training)
        return run(config, training, observer, learner, policy)


class EvolutionLearner(Learner):
    """Each iteration is a generation; the policy is the distribution's mean.

    A last generation that the budget leaves incomplete teaches nothing.
    """

    def __init__(
        self, config: CMAES, fitness: Fitness, policy: NetworkPolicy, training: Training
    ) -> None:
        super().__init__(policy.module, training)
        self._fitness, self._policy, self.meter = fitness, policy, fitness.meter
        mean = parameters_to_vector(self.module.parameters()).detach().cpu().double().numpy()
        kind = CMA if len(mean) <= config.full_up_to else SepCMA
        self._search = kind(mean, config.sigma, population_size=config.population, seed=0)

    def iterate(self, rng: np.random.Generator) -> dict[str, float]:
        self._search.reseed_rng(int(rng.integers(2**32)))
        candidates = [self._search.ask() for _ in range(self._search.population_size)]
        returns: list[float] = []
        for candidate in candidates:
            self._place(candidate)
            mean_return = self._fitness.mean_return(self._policy, self.iteration)
            self.calls = self._fitness.calls
            if mean_return is None:
                break
            returns.append(mean_return)
            self.progress()
        metrics: dict[str, float] = {"search/sigma": float(self._search._sigma)}
        if len(returns) == len(candidates):
            losses = [-value for value in returns]
            self._search.tell(list(zip(candidates, losses, strict=True)))
            self.mean_return = float(np.mean(returns))
            metrics["train/return_mean"] = self.mean_return
        self._place(self._search._mean)
        return metrics

    def _place(self, weights: np.ndarray[Any, Any]) -> None:
        vector = torch.from_numpy(np.asarray(weights)).float()
        parameters = list(self.module.parameters())
        vector_to_parameters(vector.to(parameters[0].device), parameters)

    def is_over(self) -> bool:
        return self._fitness.calls >= self.training.budget

    def values(self) -> dict[str, Any]:
        return {
            "sigma": float(self._search._sigma),
            "generation": self._search.generation,
        }

    def tensors(self) -> Tensors:
        return {SEARCH + name: torch.from_numpy(getattr(self._search, name)) for name in ARRAYS}

    def restore(self, values: dict[str, Any], tensors: Tensors) -> None:
        for name in ARRAYS:
            array = tensors[SEARCH + name].numpy().copy()
            if array.shape != getattr(self._search, name).shape:
                raise ValueError(f"{name} has shape {array.shape}")
            setattr(self._search, name, array)
        self._search._sigma, self._search._g = float(values["sigma"]), int(values["generation"])
        self._fitness.resume_from(self.calls)
