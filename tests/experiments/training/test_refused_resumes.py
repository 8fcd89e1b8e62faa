"""What a run can't be asked, or can't go on from, is refused in a line and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Answer, Command
from processes import truncate, unfinished

from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.locks import lock_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return unfinished(tmp_path)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_refused(answer: Answer, words: str) -> None:
    assert answer.code == 2, answer
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1, answer.err
    assert words in answer.err


def check_refused_in_the_end(answer: Answer, folder: Path) -> None:
    """Assert that the last line is an error that names the run, and the only one."""
    assert answer.code == 2
    assert "Traceback" not in answer.err
    error = answer.err.splitlines()[-1]
    assert error.startswith("error: ")
    assert str(folder) in error


REFUSALS: dict[str, tuple[tuple[object, ...], str]] = {
    "finished": ((), "larger --budget"),
    "the same budget": (("--budget", 120), "larger --budget"),
    "another stop, which it has not met": (("--stop-at-success", 0.5), "larger --budget"),
    "a smaller budget": (("--budget", 119), "below the 120 steps already done"),
    "no budget": (("--budget", 0), "--budget 0"),
    "no rate": (("--budget", 200, "--stop-at-success", 2), "--stop-at-success 2"),
    "no return": (("--budget", 200, "--stop-at-return", "nan"), "--stop-at-return nan"),
    "a seed": (("--budget", 200, "--seed", 3), "--seed can't be given with --resume"),
    "a hyperparameter": (("--gamma=0.5",), "--gamma=0.5 can't be given with --resume"),
    "a name": (("--name", "other"), "--name can't be given with --resume"),
}


def test_a_budget_too_small_for_another_step_of_all_environments_is_spent(
    tmp_path: Path, command: Command
) -> None:
    few = ("--eval-episodes", 1, "--judge-episodes", 1, "--n-steps", 4, "--num-envs", 8)
    options = ("--env", "CartPole-v1", "--budget", 33, "--runs", tmp_path, "--name", "run")
    assert command("train", *options, *few).code == 0
    for changes in ((), ("--budget", 39)):
        check_refused(command("train", "--resume", tmp_path / "run", *changes), "steps is spent")
    assert command("train", "--resume", tmp_path / "run", "--budget", 40).code == 0


@pytest.mark.parametrize("case", REFUSALS)
def test_what_a_run_cannot_be_asked_changes_nothing(
    case: str, folder: Path, command: Command
) -> None:
    options, words = REFUSALS[case]
    before = contents(folder)
    check_refused(command("train", "--resume", folder, *options), words)
    assert contents(folder) == before


@pytest.mark.thorough
def test_a_run_that_is_being_trained_is_left_alone(folder: Path, command: Command) -> None:
    before, lock = contents(folder), lock_folder(folder)
    answer = command("train", "--resume", folder, "--budget", 200)
    check_refused(answer, "is being trained by another process")
    lock.release()
    assert contents(folder) == before
    assert Run.open(folder).status() == "finished"


@pytest.mark.parametrize("place", ["nowhere", "run/models", "run/config.json", "."])
def test_what_is_no_run_is_refused(place: str, folder: Path, command: Command) -> None:
    before = contents(folder)
    check_refused(command("train", "--resume", folder.parent / place), "is not a run folder")
    assert contents(folder.parent) == before


# Damaged configurations and states


def config_with(change: dict[str, Any]) -> Callable[[Path], object]:
    def alter(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change, indent=1))

    return alter


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "another seed": (config_with({"seed": 8}), "was altered"),
    "another environment": (config_with({"env": "CartPole-v1"}), "was altered"),
    "configuration cut": (lambda run: truncate(run / "config.json", 0.9), "config.json"),
    "configuration gone": (lambda run: (run / "config.json").unlink(), "has no config.json"),
    "state cut": (lambda run: truncate(run / "run.json", 0.9), "run.json"),
    "state empty": (lambda run: truncate(run / "run.json", 0), "run.json"),
    "state gone": (lambda run: (run / "run.json").unlink(), "run.json"),
    "state a list": (lambda run: (run / "run.json").write_text("[]"), "run.json"),
    "state not text": (lambda run: (run / "run.json").write_bytes(b"\xff\xfe"), "run.json"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_configuration_or_state_is_refused(
    case: str, folder: Path, command: Command
) -> None:
    damage, words = REFUSED[case]
    damage(folder)
    before = contents(folder)
    check_refused(command("train", "--resume", folder, "--budget", 200), words)
    assert contents(folder) == before


ENTRIES = ("state", "models", "config_sha256", "steps", "checkpoint", "seconds", "asked")
ALTERED: list[Any] = ["gone", None, [], {"best": 3}, {"best": {"folder": "step-000000080"}}, -1]


@pytest.mark.parametrize(
    "value", ["text", *(pytest.param(value, marks=pytest.mark.thorough) for value in ALTERED)]
)
@pytest.mark.parametrize("entry", ENTRIES)
def test_an_altered_entry_of_the_state_never_ends_in_a_traceback(
    entry: str, value: object, folder: Path, command: Command
) -> None:
    path = folder / "run.json"
    state = json.loads(path.read_text()) | {entry: value}
    if value == "gone":
        del state[entry]
    path.write_text(json.dumps(state))
    answer = command("train", "--resume", folder, "--budget", 140)
    if answer.code != 0:
        check_refused_in_the_end(answer, folder)


def test_an_altered_configuration_is_refused_with_advice_that_holds(
    folder: Path, command: Command
) -> None:
    config_with({"seed": 8})(folder)
    for more in ((), ("--trust",)):
        answer = command("train", "--resume", folder, "--budget", 200, *more)
        check_refused(answer, "with --trust neither: put it back as it was")
