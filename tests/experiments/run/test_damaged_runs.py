"""Damage to any file of a run is reported in a line, and costs as little of it as can be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command
from processes import PENDULUM, bits, final, flip, trained_once, truncate, unfinished
from thorough_cases import thin

from nondiff.experiments.run.checkpoints import CheckpointFolder
from nondiff.experiments.run.folder import Run

CHECKPOINTS = ("step-000000000040", "step-000000000080", "step-000000000120")
STARTS_OVER = "there is no whole checkpoint before it: training starts over"
FILES = ("state.json", "tensors.safetensors", "manifest.json")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "first bit": lambda path: flip(path, 0),
    "middle bit": lambda path: flip(path, 0.5),
    "last bit": lambda path: flip(path, 1),
    "empty": lambda path: truncate(path, 0),
    "half": lambda path: truncate(path, 0.5),
    "deleted": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return unfinished(tmp_path)


def check_goes_on(folder: Path, command: Command) -> str:
    """Resume with a larger budget, to the bits of an undamaged run; returns what was printed."""
    answer = command("train", "--resume", folder, "--budget", 200)
    assert answer.code == 0, answer.err
    assert final(folder).items() <= trained_once(*PENDULUM).items()
    return answer.err


# Checkpoints


@pytest.mark.thorough
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("newest", [1, 2, 3])
def test_a_damaged_checkpoint_is_reported_and_passed_over(
    newest: int, file: str, damage: str, folder: Path
) -> None:
    checkpoints = folder / "checkpoints"
    for name in CHECKPOINTS[newest:]:
        shutil.rmtree(checkpoints / name)
    damaged = checkpoints / CHECKPOINTS[newest - 1]
    DAMAGES[damage](damaged / file)
    reports: list[str] = []
    state = CheckpointFolder(checkpoints, reports.append, lambda steps: None).load()
    assert (state.steps if state else 0) == 40 * (newest - 1)
    assert str(damaged) in reports[0]
    assert reports[1:] == ([STARTS_OVER] if newest == 1 else [])
    assert "\n" not in reports[0]


@pytest.mark.parametrize("file", thin(FILES, FILES[:1]))
def test_a_run_goes_on_from_the_checkpoint_before(
    file: str, folder: Path, command: Command
) -> None:
    damaged = folder / "checkpoints" / CHECKPOINTS[-1]
    flip(damaged / file, 0.5)
    err = check_goes_on(folder, command)
    assert len([line for line in err.splitlines() if str(damaged) in line]) == 1
    assert "120 steps" not in err


def test_a_run_without_a_whole_checkpoint_starts_over(folder: Path, command: Command) -> None:
    for name, file in zip(CHECKPOINTS, FILES, strict=True):
        truncate(folder / "checkpoints" / name / file, 0.5)
    err = check_goes_on(folder, command)
    for name in CHECKPOINTS:
        assert len([line for line in err.splitlines() if name in line]) == 1
    assert err.splitlines().count(STARTS_OVER) == 1
    assert bits(folder)["metrics.csv"] == trained_once(*PENDULUM)["metrics.csv"]


# Its other files


def test_a_damaged_best_model_is_named(folder: Path, command: Command) -> None:
    best = Run.open(folder).model_folder("best")
    flip(best / "weights.safetensors", 0.9)
    answer = command("train", "--resume", folder, "--budget", 140)
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith(f"error: {best} is damaged")


@pytest.mark.parametrize("rest", thin(["", "160,-1", "160,-1,"], ["160,-1"]))
def test_a_last_row_of_metrics_that_was_cut_is_dropped(
    rest: str, folder: Path, command: Command
) -> None:
    with (folder / "metrics.csv").open("a") as file:
        file.write(rest)
    check_goes_on(folder, command)
    assert not (folder / "metrics.damaged").exists()


DAMAGED_METRICS = {
    "not numbers": b"steps,loss\n40,much\n",
    "no steps": b"loss\n3\n",
    "not text": b"steps,loss\n\xff\xfe,\x00\n",
    "a quote": b'steps,loss\n40,"3\n80,2\n',
    "too long a row": b"steps,loss\n40,3,4,5\n",
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", thin(DAMAGED_METRICS, ["not numbers", "not text"]))
def test_damaged_metrics_are_set_aside(case: str, folder: Path, command: Command) -> None:
    (folder / "metrics.csv").write_bytes(DAMAGED_METRICS[case])
    err = check_goes_on(folder, command)
    assert len([line for line in err.splitlines() if "metrics.damaged" in line]) == 1
    assert (folder / "metrics.damaged").read_bytes() == DAMAGED_METRICS[case]
