"""A NaN ends a training with its cause, its place and the last good model."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from suited import needs_choices
from watcher import Watcher, trained

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.policies.model import load_policy
from nondiff.agents.sb3.algorithms.on_policy import OnPolicy
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import NonFiniteError
from nondiff.experiments.commands.train import TrainOptions
from nondiff.experiments.commands.train import train as train_run
from nondiff.experiments.evaluation.episodes import RandomPolicy, play

# An update of TRPO's policy has the size of its trust region, whatever the learning rate.
ANY_LEARNING_RATE = ("trpo",)

REINFORCEMENT = [name for name in STRATEGIES if hasattr(find_strategy(name), "num_envs")]

FAULTY = "small_envs:Faulty-v0"

torch.set_num_threads(1)


def choices(name: str) -> int:
    """Discrete actions for a strategy; 0: continuous ones."""
    return 3 if needs_choices(name) else 0


@pytest.mark.parametrize("at", [40, 50], ids=["within an episode", "at an episode's end"])
@pytest.mark.parametrize("fault", ["reward", "observation"])
@pytest.mark.parametrize("name", REINFORCEMENT)
def test_a_fault_of_the_environment_is_named_at_its_step(name: str, fault: str, at: int) -> None:
    watcher = Watcher()
    with pytest.raises(NonFiniteError, match=rf"{fault} .*environment 0 .*step {at}\b"):
        trained(name, FAULTY, 256, watcher=watcher, fault=fault, at=at, choices=choices(name))
    assert watcher.steps <= at


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in REINFORCEMENT if name not in ANY_LEARNING_RATE])
def test_an_exploding_update_names_the_learning_rate(name: str) -> None:
    strategy = replace(find_strategy(name)(), learning_rate=1e18)
    if isinstance(strategy, OnPolicy):
        strategy = replace(strategy, n_steps=64)
    with pytest.raises(NonFiniteError, match=r"learning_rate.*1e\+18"):
        trained(strategy, FAULTY, 256, at=10**9, choices=choices(name))


@pytest.mark.parametrize(
    ("cause", "at", "hyperparameters"),
    [
        ("the reward of environment 0 is nan, at its step 70", 70, {}),
        ("learning_rate", 10**9, {"learning_rate": 1e18, "n_steps": 64}),
    ],
)
def test_the_last_good_model_is_named_and_predicts(
    cause: str, at: int, hyperparameters: dict[str, Any], tmp_path: Path
) -> None:
    options = TrainOptions(
        env="small_envs:Faulty-v0",
        env_arg=(f"at={at}",),
        strategy="ppo",
        budget=256,
        eval_every=30,
        eval_episodes=1,
        runs=tmp_path,
    )
    with pytest.raises(NonFiniteError, match=cause) as caught:
        train_run(options, find_strategy("ppo")(**hyperparameters))
    named = re.search(r"last good model, of step (\d+), is (\S+),", str(caught.value))
    assert named
    assert 60 <= int(named[1]) <= 70
    policy = load_policy(named[2])
    assert np.isfinite(policy.predict(np.zeros(2, np.float32))).all()


@pytest.mark.parametrize("fault", ["reward", "observation"])
def test_a_fault_in_an_evaluation_names_the_episode_and_the_step(fault: str) -> None:
    recipe = EnvRecipe("small_envs:Faulty-v0", {"fault": fault, "at": 35, "horizon": 25})
    with (
        closing(recipe.make()) as env,
        pytest.raises(NonFiniteError, match=rf"{fault} .*seed 8\b.*step 10\b"),
    ):
        play(env, RandomPolicy(env.action_space), seeds=[7, 8, 9])
