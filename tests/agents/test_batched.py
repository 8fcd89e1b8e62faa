"""Black boxes stepped many at once by Stable-Baselines3: the same bits as one after another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_boxes import Bowl, Track
from stable_baselines3 import PPO
from thorough_cases import diagonal
from watcher import trained

from nondiff.agents import find_strategy
from nondiff.agents.api import train
from nondiff.agents.sb3.vec_envs.batched import BatchedVecEnv
from nondiff.black_box import BlackBoxVectorEnv
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import EnvironmentFailedError, InvalidOptionError

torch.set_num_threads(1)


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "name"), diagonal([Bowl, Track], ["ppo", "sac"]))
def test_batched_environments_train_to_the_same_bits(kind: type, name: str) -> None:
    strategy = replace(find_strategy(name)(), num_envs=4)
    if name == "ppo":
        strategy = replace(strategy, n_steps=16, normalize_observation=True)
    found = []
    for vec_env in ("serial", "batched"):
        box = kind()
        result = train(None, box, replace(strategy, vec_env=vec_env), 256)
        assert box.calls == 256
        found.append(result.policy.tensors())
    assert all(torch.equal(found[0][key], value) for key, value in found[1].items())


def test_stable_baselines3_trains_on_it_without_us() -> None:
    box = Bowl()
    PPO("MlpPolicy", BatchedVecEnv(BlackBoxVectorEnv(box, 8)), n_steps=8, batch_size=32).learn(128)
    assert box.calls == 128


@pytest.mark.thorough
def test_surface_waves_are_batched_by_their_id() -> None:
    strategy = replace(find_strategy("a2c")(), num_envs=3, vec_env="batched")
    first = trained(strategy, "nondiff/SurfaceWaves6-v0", 30).tensors()
    second = trained(replace(strategy, vec_env="serial"), "nondiff/SurfaceWaves6-v0", 30).tensors()
    assert all(torch.equal(first[key], value) for key, value in second.items())


def test_an_environment_without_a_vectorised_form_is_refused() -> None:
    strategy = replace(find_strategy("ppo")(), vec_env="batched")
    with (
        EnvRecipe("Pendulum-v1").opened() as env,
        pytest.raises(InvalidOptionError, match="vector_entry_point; choose from serial"),
    ):
        strategy.check(env)
    with pytest.raises(InvalidOptionError, match="no vectorised form"):
        EnvRecipe("Pendulum-v1").make_vector(2)


def test_a_black_box_that_raises_is_named_with_its_step() -> None:
    class Raises(Bowl):
        def transition(self, state, action):
            if self.calls >= 12:
                raise RuntimeError("out of licences")
            return super().transition(state, action)

    strategy = replace(find_strategy("a2c")(), num_envs=4, vec_env="batched")
    with pytest.raises(EnvironmentFailedError, match="out of licences, at their step 4"):
        train(None, Raises(), strategy, 100)


def test_long_episodes_end_with_their_last_observation() -> None:
    env = BatchedVecEnv(BlackBoxVectorEnv(Track(), 2))
    env.seed(3)
    env.reset()
    for _ in range(4):
        *_, dones, infos = env.step(np.full((2, 1), 0.1))
        assert not dones.any()
    _, _, dones, infos = env.step(np.full((2, 1), 0.1))
    assert dones.all()
    for info in infos:
        assert info["TimeLimit.truncated"]
        assert info["episode"]["l"] == 5
        assert info["terminal_observation"][0] > 0.1
