"""A run says why its training stopped: in run.json, in the list of runs, and where it ended well
also in the card and in the last line of `train`."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from conftest import Command
from crash_points import kill, press_ctrl_c, train_until
from processes import PENDULUM, train_here

import nondiff
from nondiff.experiments.run.folder import Run

CARTPOLE = (
    *("--env", "CartPole-v1", "--strategy", "a2c", "--budget", 400, "--eval-every", 100),
    *("--eval-episodes", 2, "--held-out-episodes", 2, "--confirm-episodes", 2, "--name", "run"),
)
ENDS = {
    "budget": ((), "the budget of 400 steps was spent"),
    "return": (("--stop-at-return", 1), "a mean return of 1 was reached"),
}


def listed(folder: Path, command: Command) -> tuple[str, str]:
    (entry,) = json.loads(command("runs", folder, "--json").out)
    return entry["state"], entry["stop_reason"]


@pytest.mark.thorough
@pytest.mark.parametrize("reason", ENDS)
def test_where_training_ends_by_itself(reason: str, tmp_path: Path, command: Command) -> None:
    more, words = ENDS[reason]
    answer = command("train", *CARTPOLE, *more, "--runs", tmp_path)
    folder = tmp_path / "run"
    assert answer.out.splitlines()[-1].endswith(f"; stopped: {words}")
    assert json.loads((folder / "run.json").read_text())["stop_reason"] == reason
    assert f"training stopped: {words}" in (folder / "README.md").read_text()
    assert listed(folder, command) == ("finished", reason)


def test_a_success_rate_that_is_reached(tmp_path: Path, command: Command) -> None:
    answer = command(
        *("train", "--env", "nondiff/PandaReachDense-v0", "--strategy", "a2c", "--budget", 400),
        *("--eval-every", 100, "--eval-episodes", 2, "--held-out-episodes", 2, "--name", "run"),
        *("--confirm-episodes", 2, "--stop-at-success", 0, "--runs", tmp_path),
    )
    assert answer.out.splitlines()[-1].endswith("; stopped: a success rate of 0% was reached")
    assert listed(tmp_path / "run", command) == ("finished", "success")


def test_a_callback_goes_before_what_is_reached(tmp_path: Path, command: Command) -> None:
    def end(steps: int, success: float | None, mean_return: float) -> bool:
        return False

    options = nondiff.TrainOptions(
        env="CartPole-v1", budget=400, eval_every=100, eval_episodes=2, held_out_episodes=2,
        runs=tmp_path, name="run", stop_at_return=1.0,
    )  # fmt: skip
    run = nondiff.train_run(options, nondiff.A2C(), on_evaluation=end, presets=False)
    assert run.state.stop_reason == "callback"
    assert "a callback ended it" in (run.folder / "README.md").read_text()
    assert listed(run.folder, command) == ("finished", "callback")


@pytest.mark.parametrize(
    ("die", "state", "reason"),
    [(kill, "interrupted", "killed"), (press_ctrl_c, "interrupted", "signal")],
)
def test_where_training_is_cut_short(
    die: object, state: str, reason: str, tmp_path: Path, command: Command
) -> None:
    number = 40
    code = train_until(number, die, tmp_path, *PENDULUM, "--runs", tmp_path, "--name", "run")
    assert code in (-signal.SIGKILL, 130)
    assert listed(tmp_path / "run", command) == (state, reason)
    assert train_here("--resume", tmp_path / "run") == 0
    run = Run.open(tmp_path / "run")
    assert (run.status(), run.stop_reason) == ("finished", "budget")


def test_an_environment_that_breaks(tmp_path: Path, command: Command) -> None:
    # Its worker counts as hung at once.
    answer = command(
        *("train", *CARTPOLE, "--runs", tmp_path, "--vec-env", "processes"),
        *("--worker-timeout", 1e-6, "--worker-restarts", 0),
    )
    assert answer.code == 2
    assert listed(tmp_path / "run", command) == ("failed", "error")


def test_the_name_of_version_0_1_0_of_an_option_is_understood(command: Command) -> None:
    answer = command("train", "--env", "CartPole-v1", "--judge-episodes", 0)
    assert answer.code == 2
    assert answer.err.startswith("error: --held-out-episodes 0 is not from 1 to ")
