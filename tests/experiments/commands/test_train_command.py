"""The train command, and the run folder that it leaves."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import FEW_EPISODES, ROOT, Answer, Command
from PIL import Image
from processes import hear_ctrl_c
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from thorough_cases import thin

from nondiff.experiments.run.folder import Run

THEIR_PACKAGE = """
import gymnasium
import numpy as np


class TheirEnv(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length=3):
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = self.length
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.left -= 1
        done = self.left == 0
        return np.zeros(1, np.float32), float(action), done, False, {"is_success": action == 1}


gymnasium.register("TheirEnv-v0", entry_point=TheirEnv)
"""


def test_the_last_lines_say_how_good_it_is_and_where_it_lies(reach: tuple[Path, Answer]) -> None:
    _, answer = reach
    judged, folder, look, trained = answer.out.splitlines()
    assert judged.startswith("success ")
    assert "over 5 evaluation episodes" in judged
    assert trained.startswith("trained 640 steps in ")
    assert trained.endswith("; stopped: the budget of 640 steps was spent")
    assert folder == "run folder: runs/reach"
    assert "evaluate.py runs/reach --video" in look
    assert "Warning" not in answer.err
    assert answer.err.count("evaluation of") == 3  # at 256, 512 and the end


def test_a_run_folder_is_whole(reach: tuple[Path, Answer]) -> None:
    folder, _ = reach
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "run.json", "metrics.csv", "tensorboard", "learning_curve.png"),
        *("models", "README.md", ".lock"),
    }
    run = Run.open(folder)
    assert run.state.state == "finished"
    assert run.state.steps == 640
    assert run.state.result.episodes == 5
    kept = {model.folder for model in run.state.models.values()}
    assert {path.name for path in (folder / "models").iterdir()} == kept
    for role in ("best", "last"):
        assert run.load_policy(role).description()["strategy"] == "ppo"
    with Image.open(folder / "learning_curve.png") as picture:
        assert picture.width > 400
    card = (folder / "README.md").read_text()
    assert card.startswith("# nondiff/PandaReachDense-v0 trained with ppo")
    assert "640" in card


def git(*arguments: str) -> str:
    command = ["git", "-C", ROOT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_config_says_all_that_a_repetition_needs(reach: tuple[Path, Answer]) -> None:
    folder, _ = reach
    config = json.loads((folder / "config.json").read_text())
    assert (config["env"], config["strategy"]) == ("nondiff/PandaReachDense-v0", "ppo")
    assert (config["seed"], config["budget"]) == (5, 640)
    assert config["hyperparameters"]["num_envs"] == 8  # of the preset
    assert {"python", "nondiff", "torch", "gymnasium", "numpy"} <= config["versions"].keys()
    revision = config["git_revision"].removesuffix("-dirty")
    assert git("rev-parse", f"{revision}^{{commit}}") in git("log", "-5", "--format=%H")


def test_metrics_are_written_as_they_come(reach: tuple[Path, Answer]) -> None:
    folder, _ = reach
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["steps"]) for row in rows]
    assert steps == sorted(steps)
    assert steps[-1] == 640
    evaluated = [row for row in rows if row["evaluation/return_mean"]]
    assert [int(row["steps"]) for row in evaluated] == [256, 512, 640]
    assert all(float(row["evaluation/episodes"]) == 2 for row in evaluated)
    assert any(row["train/loss"] for row in rows)
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    shown = events.Scalars("evaluation/return_mean")
    assert [event.step for event in shown] == [256, 512, 640]
    expected = [float(row["evaluation/return_mean"]) for row in evaluated]
    assert [event.value for event in shown] == pytest.approx(expected)


@pytest.mark.parametrize(
    "env_id", thin(["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"], ["FrozenLake-v1"])
)
def test_environments_of_others(env_id: str, command: Command, tmp_path: Path) -> None:
    for expected in (f"{env_id}-ppo-s0-1", f"{env_id}-ppo-s0-2"):
        options = ("--env", env_id, "--budget", 128, *FEW_EPISODES, "--runs", tmp_path)
        answer = command("train", *options)
        assert answer.code == 0
        assert answer.out.startswith("mean return ")
        assert (tmp_path / expected / "learning_curve.png").is_file()


def test_hyperparameters_and_environment_arguments_are_taken(
    command: Command, tmp_path: Path
) -> None:
    answer = command(
        *("train", "--env", "nondiff/PandaReachDense-v0", "--env-arg", "control_type=joints"),
        *("--env-arg", "horizon=10", "--learning-rate", 2e-3, "--net-arch", 16, 16),
        *("--num-envs", 2, "--n-steps", 32, "--budget", 128, *FEW_EPISODES),
        *("--runs", tmp_path, "--name", "joints"),
    )
    assert answer.code == 0
    run = Run.open(tmp_path / "joints")
    assert run.config.env_arguments == {"control_type": "joints", "horizon": 10}
    hyperparameters = run.config.hyperparameters
    assert (hyperparameters["learning_rate"], hyperparameters["net_arch"]) == (2e-3, [16, 16])
    assert hyperparameters["gamma"] == 0.7  # of the preset, which "joints" does not change
    assert run.load_policy().description()["action_space"]["shape"] == [7]
    weights = run.model_folder("best") / "weights.safetensors"
    with safe_open(weights, "pt") as tensors:
        assert tensors.get_slice("policy.action_net.weight").get_shape() == [7, 16]


def test_a_third_party_registers_its_own(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    package = tmp_path / "packages" / "their_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(THEIR_PACKAGE)
    options = ("--env", "their_package:TheirEnv-v0", "--env-arg", "length=4", "--budget", 64)
    trained = command("train", *options, *FEW_EPISODES, "--name", "theirs")
    assert trained.code == 0, trained.err
    judged = command("evaluate", "runs/theirs", "--episodes", 3, "--json")
    assert judged.code == 0, judged.err
    theirs, at_random = json.loads(judged.out)["policies"]
    assert theirs["length_mean"]["value"] == 4
    assert at_random["success"] is not None


@pytest.mark.thorough
def test_an_interrupted_run_can_be_evaluated(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "interrupted"
    arguments = [
        *("--env", "nondiff/PandaReachDense-v0", "--budget", "10000000", "--name", folder.name),
        *("--eval-every", "256", "--stop-at-success", "None", *FEW_EPISODES),
    ]
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": ""},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    try:
        deadline = time.monotonic() + 60
        while not list(folder.glob("models/step-*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert Run.open(folder).state.state == "interrupted"
    answer = command("evaluate", folder, "--episodes", 2, "--random-episodes", 0)
    assert answer.code == 0
