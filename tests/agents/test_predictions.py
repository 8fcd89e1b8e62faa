"""Models on disk predict byte for byte like Stable-Baselines3, normalisation included."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector.utils import batch_space
from suited import suited
from thorough_cases import thin
from watcher import Watcher

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.policies.model import load_policy, save_policy
from nondiff.agents.sb3.algorithms.reinforcement import Reinforcement
from nondiff.agents.sb3.training import Segment
from nondiff.agents.sb3.vec_envs.vectorize import make_environments
from nondiff.agents.strategy import Training
from nondiff.env_recipe import EnvRecipe

REINFORCEMENT = [name for name in STRATEGIES if issubclass(find_strategy(name), Reinforcement)]
BUDGET = 128  # fills whole batches of PPO and TRPO, and outlasts the off-policy warm-up of 100

torch.set_num_threads(1)


def check_predictions(strategy: Reinforcement, env_id: str, folder: Path) -> None:
    """Compare a trained algorithm with its model on disk, on the same observations."""
    training = Training(EnvRecipe(env_id), BUDGET, seed=0)
    with closing(make_environments(strategy, training.recipe, print)) as environments:
        segment = Segment(strategy, training, Watcher(), environments, None, lessons=None)
        assert segment.run()
        save_policy(segment.policy(), folder)
    algorithm, loaded = segment.algorithm, load_policy(folder)
    normalizer = algorithm.get_vec_normalize_env()
    actions = set()
    for observation in observations(env_id):
        normalized = normalizer.normalize_obs(observation) if normalizer else observation
        expected, _ = algorithm.predict(normalized, deterministic=True)
        found = np.asarray(loaded.predict(observation))
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
        actions.add(found.tobytes())
    assert len(actions) > 1


def observations(env_id: str) -> list[Any]:
    """A batch of observations, and single ones."""
    with closing(EnvRecipe(env_id).make()) as env:
        batches = batch_space(env.observation_space, 64)
        env.observation_space.seed(1)
        batches.seed(2)
        return [batches.sample(), *(env.observation_space.sample() for _ in range(8))]


@pytest.mark.parametrize("normalize", thin([False, True], [True]), ids=["raw", "normalized"])
@pytest.mark.parametrize(
    "env_id", thin(["Pendulum-v1", "nondiff/PandaReachDense-v0"], ["Pendulum-v1"])
)
@pytest.mark.parametrize("name", REINFORCEMENT)
def test_every_algorithm(name: str, env_id: str, normalize: bool, tmp_path: Path) -> None:
    strategy = replace(
        find_strategy(name)(), normalize_observation=normalize, normalize_reward=normalize
    )
    check_predictions(strategy, suited(name, env_id, "Pendulum-v1"), tmp_path / "model")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "env_id", "options"),
    [
        ("ppo", "CartPole-v1", {"normalize_observation": True}),
        ("a2c", "small_envs:Picture-v0", {}),
        ("ppo", "Pendulum-v1", {"net_arch": (), "log_std_init": -2.0}),
        ("ppo", "Pendulum-v1", {"net_arch": (8, 16), "activation": "silu"}),
        ("trpo", "Pendulum-v1", {"use_sde": True, "num_envs": 2, "n_steps": 64}),
        ("sac", "Pendulum-v1", {"use_sde": True}),
        ("td3", "nondiff/PandaReach-v0", {"her": False, "net_arch": (16,)}),
        ("tqc", "Pendulum-v1", {"n_critics": 3, "n_quantiles": 10}),
        ("crossq", "Pendulum-v1", {"use_sde": True, "net_arch": (8,)}),
        ("qrdqn", "CartPole-v1", {"n_quantiles": 7, "net_arch": (8,)}),
        ("dqn", "small_envs:BitFlip-v0", {"learning_starts": 20, "activation": "elu"}),
    ],
)
def test_options_that_shape_the_network(
    name: str, env_id: str, options: dict[str, Any], tmp_path: Path
) -> None:
    check_predictions(find_strategy(name)(**options), env_id, tmp_path / "model")
