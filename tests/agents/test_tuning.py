"""The study of hyperparameters, and the table of what presets reach."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import ROOT
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

import nondiff
from nondiff.agents.presets import PRESETS, find_preset
from nondiff.experiments.commands.train import parse

BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import arm_learning_report  # noqa: E402
import arm_learning_rows  # noqa: E402
import trainings  # noqa: E402
import tune  # noqa: E402
import tune_report  # noqa: E402
import tune_spaces  # noqa: E402


@pytest.mark.parametrize("strategy", tune_spaces.SPACES)
def test_a_training_is_given_what_a_trial_has_drawn(strategy: str) -> None:
    options = tune.Options("nondiff/PandaReach-v0", strategy)
    preset = find_preset(strategy, options.env)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(3):
        drawn = tune_spaces.suggested(study.ask(), preset.strategy)
        command = parse(tune.arguments(drawn, preset, options), "train")
        assert command.hyperparameters == drawn != preset.strategy
        assert command.options.budget == preset.budget


@pytest.mark.parametrize("strategy", tune_spaces.SPACES)
def test_a_study_begins_with_the_preset(strategy: str) -> None:
    preset = find_preset(strategy, "nondiff/PandaReach-v0").strategy
    study = optuna.create_study()
    study.enqueue_trial(tune_spaces.drawing(preset))
    within = tune_spaces.drawing(preset)
    trial = study.ask()
    tried = tune_spaces.suggested(trial, preset)
    assert tune_spaces.drawing(tried).items() >= within.items()
    assert {"learning_rate", "gamma", "net_arch"} <= set(within)


def test_a_row_trains_on_what_it_says_with_its_preset() -> None:
    for row in arm_learning_rows.ROWS:
        command = parse(row.arguments(), "train")
        assert (command.options.env, command.options.strategy) == (row.env_id, row.strategy)
        if not row.options:
            preset = find_preset(row.strategy, row.env_id)
            assert command.hyperparameters == preset.strategy
            assert command.options.budget == (row.budget or preset.budget)
    names = [row.name for row in arm_learning_rows.ROWS]
    assert len(set(names)) == len(names)


def seed(solved: bool, steps: int) -> dict[str, Any]:
    share = 0.97 if solved else 0.4
    return {
        "solved": solved,
        "steps": steps,
        "cpu_seconds": steps / 100,
        "success": share,
        "return": -2.0,
        "curve": [[steps // 2, 0.2], [steps, share]],
    }


def test_costs_are_those_of_the_seeds_that_got_there(tmp_path: Path) -> None:
    seeds = [seed(True, 1_000), seed(True, 3_000), seed(False, 9_000), seed(True, 2_000)]
    results = {"PandaReach sac+her": dict(enumerate(seeds))}
    results["PandaReach ppo"] = {0: seed(False, 50_000)}
    text = arm_learning_report.write(results, tmp_path / "found.json")
    (solved,) = (line for line in text.splitlines() if "| sac+her |" in line)
    assert "| 3 of 4 [30%, 95%] | 2,000 [1,000, 3,000] | 20.0 [10.0, 30.0] |" in solved
    assert "| 0 of 1 [0%, 79%] | not in 50,000 | not in 500.0 |" in text
    assert "rl-zoo3" in text
    assert len(json.loads((tmp_path / "found.json").read_text())) == 2
    assert (tmp_path / "found.png").stat().st_size > 10_000


def test_success_counts_once_it_is_confirmed(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"steps": 500, "seconds": 2.0, "cpu_seconds": 1.5}')
    metrics = tmp_path / "metrics.csv"
    metrics.write_text(
        "steps,train/loss,evaluation/success,evaluation/episodes\n"
        "250,0.3,,\n250,,0.5,10\n500,,0.97,100\n"
    )
    found = trainings.outcome(tmp_path, 0.95)
    assert found["solved"]
    assert found["curve"] == [[250, 0.5], [500, 0.97]]
    assert tune.missing(found) == 0.0
    assert not trainings.outcome(tmp_path, 0.98)["solved"]
    metrics.write_text("steps,evaluation/success,evaluation/episodes\n500,1.0,20\n")
    assert not trainings.outcome(tmp_path, 0.95)["solved"]


def test_a_table_of_trials_has_the_best_first(tmp_path: Path) -> None:
    drawn = {"gamma": FloatDistribution(0.5, 1), "net_arch": CategoricalDistribution(["64 64"])}
    study = optuna.create_study(study_name="Task-sac-steps")
    for value, gamma in ((30.0, 0.98), (20.0, 0.9), (None, 0.7)):
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        params = {"gamma": gamma, "net_arch": "64 64"}
        study.add_trial(create_trial(state=state, value=value, params=params, distributions=drawn))
    tune_report.write(study, "python benchmarks/tune.py --trials 3", tmp_path / "study.md")
    text = (tmp_path / "study.md").read_text()
    assert "`python benchmarks/tune.py --trials 3`" in text
    assert text.splitlines()[-5:] == [
        "| trial | cost | gamma | net_arch |",
        "| --- | --- | --- | --- |",
        "| 1 | 20.0 | 0.9 | 64 64 |",
        "| 0 | 30.0 | 0.98 | 64 64 |",
        "| 2 | pruned | 0.7 | 64 64 |",
    ]


@pytest.mark.slow
def test_a_study_goes_on_and_prints_a_preset(tmp_path: Path) -> None:
    def study(trials: int) -> str:
        command = [sys.executable, BENCHMARKS / "tune.py", "--env", "nondiff/PandaReachDense-v0"]
        command += ["--trials", str(trials), "--seeds", "1", "--folder", tmp_path]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=1_200)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    assert "trial 0" in study(1)
    printed = study(2)
    entry = eval(
        printed.splitlines()[1].join("{}"),
        vars(tune) | {name: getattr(nondiff, name) for name in nondiff.__all__},
    )
    ((key, preset),) = entry.items()
    assert key in PRESETS
    assert preset.strategy.net_arch is not None
