"""Every registered strategy trains, learns, repeats itself, and refuses what it can't do."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from small_envs import quadrant
from suited import BIT_FLIP, QUADRANT, needs_choices, suited
from thorough_cases import some_thorough, thin
from watcher import Watcher, quick, trained

from nondiff.agents import STRATEGIES, find_strategy
from nondiff.agents.policies.model import MODEL, load_policy, save_policy
from nondiff.agents.presets import PRESETS
from nondiff.agents.strategy import TrainedPolicy
from nondiff.env_recipe import EnvRecipe
from nondiff.envs import needs_of
from nondiff.errors import IncompatibleStrategyError, InvalidOptionError

PLAIN = [name for name in STRATEGIES if find_strategy(name).needs is None]
REINFORCEMENT = [name for name in STRATEGIES if hasattr(find_strategy(name), "num_envs")]
BUDGET = 128  # fills whole batches of PPO and TRPO, and outlasts the off-policy warm-up of 100
HINDSIGHT = [name for name in STRATEGIES if hasattr(find_strategy(name), "her")]

torch.set_num_threads(1)


def saved(policy: TrainedPolicy, folder: Path) -> bytes:
    """The bytes of its weights on disk."""
    save_policy(policy, folder)
    return (folder / MODEL.tensors).read_bytes()


def observations(env_id: str, count: int = 32) -> list[Any]:
    with closing(gymnasium.make(env_id)) as env:
        env.observation_space.seed(1)
        return [env.observation_space.sample() for _ in range(count)]


@pytest.mark.parametrize(
    "env_id",
    [pytest.param("Pendulum-v1", marks=pytest.mark.thorough), "nondiff/PandaReachDense-v0"],
)
@pytest.mark.parametrize("name", PLAIN)
def test_a_seed_gives_the_same_bits_and_the_model_on_disk_predicts_them(
    name: str, env_id: str, tmp_path: Path
) -> None:
    env_id = suited(name, env_id, "Pendulum-v1")
    policy = trained(name, env_id, BUDGET, seed=3)
    weights = saved(policy, tmp_path / "first")
    assert weights == saved(trained(name, env_id, BUDGET, seed=3), tmp_path / "again")
    assert weights != saved(trained(name, env_id, BUDGET, seed=4), tmp_path / "other")
    loaded = load_policy(tmp_path / "first")
    for observation in observations(env_id):
        assert loaded.predict(observation).tobytes() == policy.predict(observation).tobytes()


# One of each strategy; the others differ in numbers, or in the environment, alone.
FIRST = [next(key for key in PRESETS if key[0] == name) for name in {name for name, _ in PRESETS}]


@pytest.mark.parametrize("key", thin(PRESETS, FIRST), ids=str)
def test_a_preset_fits_its_environment(key: tuple[str, str]) -> None:
    name, env_id = key
    strategy = PRESETS[key].strategy
    assert type(strategy) is find_strategy(name)
    with closing(gymnasium.make(env_id)) as env:
        strategy.check(env)
        if name not in REINFORCEMENT:  # their time does not depend on the budget
            return
        if key != next(k for k in PRESETS if PRESETS[k].strategy == strategy):  # trained before
            return
        runs_programs = any(need.kind == "program" for need in needs_of(env.spec.id))
        policy = trained(strategy, env_id, 64 if runs_programs else 256)
        assert env.action_space.contains(policy.predict(env.reset(seed=0)[0]))


@pytest.mark.parametrize("name", thin(PLAIN, ["a2c", "td3", "cma-es"]))
def test_the_whole_budget_is_learned_from(name: str) -> None:
    watcher = Watcher(every=1)
    policy = trained(quick(name), suited(name, "Pendulum-v1"), BUDGET, watcher=watcher)
    _, initial = watcher.evaluated[0]
    final = policy.tensors()
    assert any(not torch.equal(initial[key], final[key]) for key in final)


@pytest.mark.parametrize("name", thin([name for name in PLAIN if needs_choices(name)], ["dqn"]))
def test_learns_which_quadrant_the_observation_says(name: str) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (100, 2)).astype(np.float32)
    wanted = np.array([quadrant(point) for point in points])
    right: list[float] = []

    def solved(policy: TrainedPolicy) -> bool:
        right.append(float(np.mean([policy.predict(point) for point in points] == wanted)))
        return right[-1] > 0.9

    trained(name, QUADRANT, 10_000, watcher=Watcher(every=500, solved=solved))
    assert right[-1] > 0.9


ACTING = [name for name in PLAIN if not needs_choices(name)]


@pytest.mark.thorough  # each learns on a bowl in `test_pathwise.py`
@pytest.mark.parametrize("name", ACTING)
def test_learns_to_go_where_the_observation_says(name: str) -> None:
    targets = np.random.default_rng(0).uniform(-1, 1, (100, 2)).astype(np.float32)
    distances: list[float] = []

    def solved(policy: TrainedPolicy) -> bool:
        reached = np.array([policy.predict(target) for target in targets])
        distances.append(np.linalg.norm(reached - targets, axis=1).mean())
        return distances[-1] < best_constant / 2

    best_constant = np.linalg.norm(targets, axis=1).mean()  # always goes to the centre
    strategy = quick(name, episodes=10) if name == "cma-es" else find_strategy(name)()
    trained(strategy, "small_envs:GoTo-v0", 10_000, watcher=Watcher(every=100, solved=solved))
    assert distances[-1] < best_constant / 2


@pytest.mark.parametrize("name", STRATEGIES)
def test_discrete_actions_are_taken_or_refused_with_strategies_that_take_them(name: str) -> None:
    with closing(gymnasium.make("CartPole-v1")) as env:
        try:
            find_strategy(name)().check(env)
        except IncompatibleStrategyError as error:
            offered = [other for other in STRATEGIES if re.search(rf"\b{other}\b", str(error))]
            offered.remove(name)
            assert offered
            for other in offered:
                find_strategy(other)().check(env)
            return
        policy = trained(name, "CartPole-v1", BUDGET)
        for observation in observations("CartPole-v1"):
            assert env.action_space.contains(policy.predict(observation))


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("name", REINFORCEMENT)
def test_the_budget_is_spent_and_not_exceeded(name: str, num_envs: int) -> None:
    watcher = Watcher()
    strategy = replace(find_strategy(name)(), num_envs=num_envs)
    trained(strategy, suited(name, "Pendulum-v1"), 50, watcher=watcher)
    assert watcher.steps == 50 - 50 % num_envs


def test_a_budget_of_less_than_one_step_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="budget 3 is less than one step of num_envs = 4"):
        trained(replace(find_strategy("a2c")(), num_envs=4), "Pendulum-v1", 3)


def test_the_entropy_bonus_falls_to_zero_over_the_budget_if_asked() -> None:
    config = find_strategy("ppo")(n_steps=20, ent_coef=0.1, ent_coef_schedule="linear")
    watcher = Watcher()
    trained(config, "CartPole-v1", 100, watcher=watcher)
    weights = [row["train/ent_coef"] for row in watcher.metrics if "train/ent_coef" in row]
    assert weights == pytest.approx([0.08, 0.06, 0.04, 0.02, 0.0])


def test_training_ends_when_the_observer_says_so() -> None:
    watcher = Watcher(every=30, solved=lambda policy: True)
    trained("a2c", "Pendulum-v1", 1_000, watcher=watcher)
    assert watcher.steps == 30


@pytest.mark.parametrize("name", some_thorough(HINDSIGHT, ("td3", "tqc")))
def test_hindsight_is_used_where_there_are_goals(name: str, tmp_path: Path) -> None:
    env_id = suited(name, "nondiff/PandaReach-v0", BIT_FLIP)
    weights = {
        her: saved(
            trained(replace(find_strategy(name)(), her=her), env_id, BUDGET),
            tmp_path / str(her),
        )
        for her in (None, True, False)
    }
    assert weights[None] == weights[True]
    assert weights[None] != weights[False]


@pytest.mark.parametrize("name", thin(HINDSIGHT, ["td3"]))
def test_hindsight_works_on_several_environments(name: str) -> None:
    watcher = Watcher()
    strategy = replace(find_strategy(name)(), num_envs=4)
    trained(strategy, suited(name, "nondiff/PandaReach-v0", BIT_FLIP), 440, watcher=watcher)
    assert watcher.steps == 440


@pytest.mark.parametrize("name", HINDSIGHT)
def test_hindsight_is_refused_without_goals(name: str) -> None:
    strategy = replace(find_strategy(name)(), her=True)
    with (
        closing(EnvRecipe(suited(name, "Pendulum-v1")).make()) as env,
        pytest.raises(InvalidOptionError, match=r"goal-conditioned.*compute_reward"),
    ):
        strategy.check(env)


@pytest.mark.thorough
def test_processes_give_the_same_bits_as_serial_environments(tmp_path: Path) -> None:
    strategy = replace(find_strategy("ppo")(), num_envs=2, n_steps=32)
    weights = [
        saved(
            trained(replace(strategy, vec_env=kind), "nondiff/PandaReachDense-v0", 192),
            tmp_path / kind,
        )
        for kind in ("serial", "processes")
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("ppo", "learning_rate", -1e-3),
        ("ppo", "learning_rate", float("inf")),
        ("ppo", "gamma", 1.5),
        ("a2c", "num_envs", 0),
        ("trpo", "net_arch", (16, 0)),
        ("sac", "batch_size", 1),
        ("sac", "ent_coef", "banana"),
        ("sac", "ent_coef", "auto_-1"),
        ("td3", "gradient_steps", -2),
        ("tqc", "top_quantiles_to_drop_per_net", 25),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, option: str, value: object) -> None:
    strategy = replace(find_strategy(name)(), **{option: value})
    with (
        closing(gymnasium.make("Pendulum-v1")) as env,
        pytest.raises(InvalidOptionError, match=option),
    ):
        strategy.check(env)
