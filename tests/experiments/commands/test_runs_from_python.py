"""Runs are trained, resumed, evaluated and compared from Python, and told of by callbacks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from conftest import ROOT, Answer, Command
from thorough_cases import thin

import nondiff

PAGE = (ROOT / "docs" / "python.md").read_text()
DENSE = "nondiff/PandaReachDense-v0"
SMALL = {"n_steps": 16, "num_envs": 4, "n_epochs": 1, "net_arch": (4,)}


def options(runs: Path | str, **more: Any) -> nondiff.TrainOptions:
    few = {"eval_episodes": 2, "confirm_episodes": 2, "held_out_episodes": 2}
    return nondiff.TrainOptions(
        **{
            "env": DENSE,
            "budget": 256,
            "eval_every": 64,
            "runs": runs,
            "name": "run",
            **few,
            **more,
        }
    )


def state_of(run: nondiff.Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / "run.json").read_text())
    return found


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.S)


@pytest.mark.thorough
def test_the_page_works_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for its comparison, with smaller numbers."""
    monkeypatch.chdir(tmp_path)
    smaller = {
        **{"4096": "512", "2048": "256", "1024": "128", "episodes=50": "episodes=5"},
        "TrainOptions(env": "TrainOptions(held_out_episodes=5, env",
    }
    page = re.sub("|".join(map(re.escape, smaller)), lambda found: smaller[found.group()], PAGE)
    names: dict[str, Any] = {}
    for block in blocks(page):
        if "compare(" not in block:
            exec(block, names)
    assert names["result"].calls == 512
    assert len(names["episodes"]) == 10
    assert names["action"].shape == (3,)


@pytest.mark.thorough
def test_the_comparison_of_the_page_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in blocks(PAGE) if "compare(" in block]
    names: dict[str, Any] = {"nondiff": nondiff}
    exec(block, names)
    assert {row.strategy for row in names["results"].rows} == {"a2c", "cma-es"}
    assert (tmp_path / "comparisons" / "cart" / "report.html").exists()


@pytest.mark.thorough
def test_callbacks_are_told_of_steps_and_evaluations(tmp_path: Path) -> None:
    steps: list[int] = []
    evaluations: list[tuple[int, float | None, float]] = []
    nondiff.train_run(
        options(tmp_path),
        nondiff.PPO(**SMALL),
        on_progress=lambda step, _: steps.append(step),
        on_evaluation=lambda *values: evaluations.append(values),
        presets=False,
    )
    assert steps == list(range(4, 257, 4))
    assert [step for step, _, _ in evaluations] == [64, 128, 192, 256]
    assert all(success is not None and value < 0 for _, success, value in evaluations)


ENDED = [nondiff.PPO(**SMALL), nondiff.CMAES(population=2, episodes=1)]


@pytest.mark.parametrize("strategy", thin(ENDED, ENDED[:1]), ids=lambda one: one.name)
def test_a_callback_ends_a_run_which_can_be_resumed(
    strategy: nondiff.Strategy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = nondiff.train_run(
        options(tmp_path, name="ended", budget=512),
        strategy,
        on_evaluation=lambda steps, success, mean_return: steps < 64,
        presets=False,
    )
    said = capsys.readouterr().err
    assert "on_evaluation ended the training at step " in said
    assert state_of(ended)["state"] == "finished"
    assert state_of(ended)["stop_reason"] == "callback"
    assert 64 <= state_of(ended)["steps"] < 512
    whole = nondiff.train_run(options(tmp_path, name="whole", budget=512), strategy, presets=False)
    resumed = nondiff.resume_run(str(ended.folder))
    assert state_of(resumed)["stop_reason"] == "budget"
    first, second = (run.load_policy("last").tensors() for run in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_progress_that_returns_false_ends_a_run_with_an_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = nondiff.train_run(
        options(tmp_path, eval_every=256),
        nondiff.PPO(**SMALL),
        on_progress=lambda steps, _: steps < 100,
        presets=False,
    )
    assert "100 steps  evaluation of   2 episodes" in capsys.readouterr().err
    assert state_of(run)["models"]["best"]["steps"] == 100


@pytest.mark.thorough
@pytest.mark.parametrize("name", thin(["on_progress", "on_evaluation"], ["on_evaluation"]))
def test_what_a_callback_raises_is_the_users_error_and_the_models_stay(
    name: str, tmp_path: Path
) -> None:
    def broken(steps: int, *values: float | None) -> None:
        if steps >= 128:
            raise KeyError("typo")

    callback: Any = {name: broken}
    with pytest.raises(nondiff.errors.CallbackFailedError) as caught:
        nondiff.train_run(options(tmp_path), nondiff.PPO(**SMALL), presets=False, **callback)
    assert str(caught.value).startswith(f"{name} raised KeyError: 'typo'; the last good model")
    assert isinstance(caught.value.__cause__, KeyError)
    assert nondiff.load_policy(tmp_path / "run", "last")
    run = nondiff.resume_run(nondiff.ResumeOptions(tmp_path / "run"))
    assert state_of(run)["state"] == "finished"


def test_a_training_in_memory_is_ended_and_broken_likewise() -> None:
    box = nondiff.FunctionBox(lambda x: x, low=[0], high=[1], contexts=[[0.5]])
    network = nondiff.MLP.for_env(box, (4,))
    strategy = nondiff.FiniteDifference(batch_size=4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = nondiff.train(network, box, strategy, 10_000, on_progress=lambda steps, _: steps < 50)
    assert 50 <= result.calls < 100
    assert any(not torch.equal(before[n], v) for n, v in network.state_dict().items())

    def broken(steps: int, mean_return: float | None) -> None:
        raise ValueError("mine")

    with pytest.raises(nondiff.errors.CallbackFailedError, match="on_progress raised ValueError: "):
        nondiff.train(network, box, strategy, 100, on_progress=broken)


def test_a_run_is_not_resumed_by_the_function_that_begins_one(tmp_path: Path) -> None:
    with pytest.raises(nondiff.errors.InvalidOptionError, match="use resume_run"):
        nondiff.train_run(options(tmp_path, resume=tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_is_what_the_command_prints(
    command: Command, reach: tuple[Path, Answer], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = reach
    shown = command("evaluate", folder, "--episodes", 5, "--random-episodes", 2, "--json")
    before = torch.random.get_rng_state(), torch.get_num_threads()
    found = nondiff.evaluate(
        nondiff.EvaluateOptions((str(folder),), episodes=5, random_episodes=2, json=True)
    )
    assert capsys.readouterr() == ("", "")
    assert found.to_json() == json.loads(shown.out)
    assert found.summary == found.policies[0].summary
    assert [len(one.episodes) for one in found.policies] == [5, 2]
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]


def test_runs_to_evaluate_are_a_tuple() -> None:
    wrong: Any = "runs/x"
    with pytest.raises(nondiff.errors.InvalidOptionError, match=r"a tuple .* not 'runs/x'"):
        nondiff.evaluate(nondiff.EvaluateOptions(wrong))


def test_three_lines_load_a_policy_and_act_with_it(reach: tuple[Path, Answer]) -> None:
    folder, _ = reach
    with gymnasium.make(DENSE) as env:
        observation, _ = env.reset(seed=0)
    policy = nondiff.load_policy(str(folder))
    action = policy.predict(observation)
    assert action.shape == (3,)
    last = nondiff.load_policy(folder, model="last")
    assert set(last.tensors()) == set(policy.tensors())


def test_a_policy_is_saved_and_loaded_by_strings(
    reach: tuple[Path, Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    policy = nondiff.load_policy(reach[0])
    nondiff.save_policy(policy, "kept")
    again = nondiff.load_policy("kept")
    observation = {
        name: np.zeros(n)
        for name, n in (("observation", 6), ("achieved_goal", 3), ("desired_goal", 3))
    }
    assert (again.predict(observation) == policy.predict(observation)).all()
    with pytest.raises(nondiff.errors.InvalidOptionError, match="kept is a model, not a run"):
        nondiff.load_policy("kept", "last")


def test_a_folder_without_a_policy_is_told(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(nondiff.errors.RunError, match="is neither a run folder nor a model"):
            nondiff.load_policy(folder)


@pytest.mark.thorough
def test_gradients_are_checked_as_the_command_does(command: Command) -> None:
    env = "nondiff/PandaReachDense-v0"
    shown = command("check-gradients", "--env", env, "--points", 8, "--json")
    found = nondiff.check_gradients(env, points=8)
    assert shown.code == 0, shown.err
    assert found.to_json().items() <= json.loads(shown.out).items()
    with pytest.raises(nondiff.NondiffError, match="--points 0 is not from 1"):
        nondiff.check_gradients(env, points=0)
