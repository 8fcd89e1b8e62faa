"""What was not passed to a strategy comes from its preset, in Python as on the command line."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from conftest import FEW_EPISODES, Command

import nondiff
from nondiff.agents.api import recipe_of, with_preset
from nondiff.agents.presets import PRESETS, preset_for
from nondiff.env_recipe import EnvRecipe

DENSE = "nondiff/PandaReachDense-v0"
PRESET = nondiff.find_preset("ppo", DENSE)


def resolved(strategy: nondiff.Strategy | str, env: Any, **more: Any) -> nondiff.Strategy:
    return with_preset(strategy, recipe_of(env), **more)[0]


def test_a_strategy_knows_what_was_passed() -> None:
    assert nondiff.PPO().given == frozenset()
    assert nondiff.PPO(1e-3, gamma=0.99).given == {"learning_rate", "gamma"}


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_knows_it_too(copied: Callable[[nondiff.PPO], nondiff.PPO]) -> None:
    config = nondiff.PPO(gamma=0.99)
    assert copied(config) == config
    assert copied(config).given == {"gamma"}


def test_a_replaced_copy_was_passed_everything() -> None:
    config = replace(PRESET.strategy, gamma=0.99)  # type: ignore[call-arg]
    assert resolved(config, DENSE) == config


def test_what_was_passed_changes_no_comparison_and_no_text() -> None:
    assert nondiff.PPO(gamma=0.99) == nondiff.PPO()
    assert hash(nondiff.PPO(gamma=0.99)) == hash(nondiff.PPO())
    assert "given" not in repr(nondiff.PPO(gamma=0.99))
    assert asdict(nondiff.PPO(gamma=0.99)) == asdict(nondiff.PPO())


def test_what_was_passed_wins_and_the_rest_is_the_presets() -> None:
    found = resolved(nondiff.PPO(gamma=0.99), DENSE)
    assert found == replace(PRESET.strategy, gamma=0.99)  # type: ignore[call-arg]
    assert found != nondiff.PPO()
    assert resolved("ppo", DENSE) == PRESET.strategy
    assert resolved(nondiff.PPO(gamma=0.9), DENSE, presets=False) == nondiff.PPO(gamma=0.9)


def test_an_environment_that_was_made_has_the_preset_of_its_id_and_arguments() -> None:
    with gymnasium.make("nondiff/PandaReach-v0", reward_type="dense") as env:
        assert resolved("ppo", env) == PRESET.strategy
    with gymnasium.make(DENSE, camera={"width": 32, "height": 32}) as env:
        assert resolved("ppo", env) == nondiff.PPO()


def test_a_black_box_has_no_preset() -> None:
    box = nondiff.FunctionBox(lambda x: x, low=[0], high=[1], contexts=[[0.5]])
    assert resolved(nondiff.CMAES(sigma=0.3), box) == nondiff.CMAES(sigma=0.3)


@dataclass(frozen=True)
class Careful(nondiff.PPO):
    """A strategy of the user's."""

    care: int = 1


def test_a_strategy_of_the_users_keeps_its_kind_and_what_it_adds() -> None:
    found = resolved(Careful(care=2), DENSE)
    assert isinstance(found, Careful)
    assert found.care == 2
    assert found.net_arch == (64, 64)


@pytest.mark.parametrize("wrong", [nondiff.PPO, None, 3])
def test_what_is_no_strategy_is_refused(wrong: Any) -> None:
    with pytest.raises(nondiff.errors.InvalidOptionError, match=r"strategy must be one such as"):
        nondiff.train(None, DENSE, wrong, 10)
    with pytest.raises(nondiff.errors.UnknownNameError, match="did you mean ppo"):
        nondiff.train(None, DENSE, "pppo", 10)


def weights(policy: Any) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = policy.tensors()
    return found


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.mark.thorough
def test_training_uses_the_preset() -> None:
    budget = 256  # one update
    asked = nondiff.train(None, DENSE, nondiff.PPO(), budget)
    whole = nondiff.train(None, DENSE, PRESET.strategy, budget, presets=False)
    bare = nondiff.train(None, DENSE, nondiff.PPO(n_steps=32), budget, presets=False)
    assert same(weights(asked.policy), weights(whole.policy))
    assert not same(weights(asked.policy), weights(bare.policy))


def test_the_budget_is_the_presets_unless_it_is_said() -> None:
    ended = nondiff.train(None, DENSE, "ppo", on_progress=lambda steps, _: steps < 100)
    assert 100 <= ended.calls < 200
    seen: list[int] = []
    with pytest.raises(nondiff.errors.InvalidOptionError, match=r"budget must be .* not 0"):
        nondiff.train(None, DENSE, "ppo", 0, on_progress=lambda steps, _: seen.append(steps))
    assert seen == []


def test_a_run_from_python_is_that_of_the_command(command: Command, tmp_path: Path) -> None:
    options = ("--budget", 256, "--eval-every", 256, "--gamma", 0.8, *FEW_EPISODES)
    typed = command("train", "--env", DENSE, "--name", "typed", "--runs", tmp_path, *options)
    assert typed.code == 0, typed.err
    run = nondiff.train_run(
        nondiff.TrainOptions(
            env=DENSE,
            budget=256,
            eval_every=256,
            name="scripted",
            runs=str(tmp_path),
            eval_episodes=2,
            confirm_episodes=2,
            held_out_episodes=5,
        ),
        nondiff.PPO(gamma=0.8),
    )
    assert run.folder == tmp_path / "scripted"
    config, expected = (
        json.loads((tmp_path / name / "config.json").read_text()) for name in ("scripted", "typed")
    )
    assert config == expected
    theirs = nondiff.load_policy(tmp_path / "typed", "last")
    assert same(weights(run.load_policy("last")), weights(theirs))


def test_options_that_are_left_out_are_the_presets(tmp_path: Path) -> None:
    def end(steps: int, mean_return: float | None) -> bool:
        return False

    options = nondiff.TrainOptions(env=DENSE, runs=tmp_path, held_out_episodes=1, strategy="a2c")
    run = nondiff.train_run(options, on_progress=end)
    config = json.loads((run.folder / "config.json").read_text())
    preset = nondiff.find_preset("a2c", DENSE)
    assert config["strategy"] == "a2c"
    assert config["budget"] == preset.budget
    assert config["evaluation"]["every"] == preset.eval_every
    assert config["evaluation"]["episodes"] == preset.eval_episodes == 10
    assert config["hyperparameters"] == json.loads(json.dumps(asdict(preset.strategy)))


@pytest.mark.parametrize("pair", PRESETS, ids="-".join)
def test_every_preset_is_found_by_its_environment(pair: tuple[str, str]) -> None:
    assert preset_for(pair[0], EnvRecipe(pair[1])) is PRESETS[pair]
