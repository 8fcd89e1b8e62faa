"""A crash at every change of the disk, with every strategy: the run ends as if there were none."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from crash_points import (
    arguments,
    fill_the_disk,
    kill,
    press_ctrl_c,
    train_until,
    train_until_evaluation,
)
from processes import bits, leftovers, train_here
from thorough_cases import thin

from nondiff.agents import STRATEGIES
from nondiff.experiments.run.folder import Run

WORDS = {fill_the_disk: 2, press_ctrl_c: 130}


def record(folder: Path) -> dict[str, str]:
    """Models, checkpoints, metrics, result and ledger, but for how long it took."""
    ledger = Run.open(folder).state.ledger.to_json()
    ledger.pop("simulator_cpu_seconds")
    models = sorted(path.name for path in (folder / "models").iterdir())
    return bits(folder) | {"ledger": json.dumps(ledger), "models": ", ".join(models)}


@cache
def whole(strategy: str, home: Path) -> dict[str, str]:
    """The record of an undisturbed run."""
    options = (*arguments(strategy), "--runs", home, "--name", f"whole-{strategy}")
    assert train_here(*options) == 0
    return record(home / f"whole-{strategy}")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


def check_resumed(strategy: str, root: Path, home: Path) -> None:
    """Resume, or begin again, what a crash left, and compare it with an undisturbed run."""
    folder = root / "run"
    if not folder.exists():
        assert train_here(*start(strategy, root)) == 0
    elif Run.open(folder).status() != "finished":
        assert train_here("--resume", folder) == 0
    assert leftovers(folder) == []
    assert record(folder) == whole(strategy, home)


def start(strategy: str, root: Path) -> tuple[object, ...]:
    return (*arguments(strategy), "--runs", root, "--name", "run")


@pytest.mark.parametrize("strategy", ["cma-es", pytest.param("sac", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("number", [60, pytest.param(110, marks=pytest.mark.thorough)])
def test_killed_at_a_change_and_at_another_of_the_resumed_run(
    strategy: str, number: int, tmp_path: Path, home: Path
) -> None:
    assert train_until(number, kill, tmp_path, *start(strategy, tmp_path)) == -9
    assert train_until(20, kill, tmp_path, "--resume", tmp_path / "run") == -9
    check_resumed(strategy, tmp_path, home)


def check_an_error_or_a_signal(die: Any, number: int, root: Path, home: Path) -> int | None:
    """Its exit code, of a training that meets `die` at a change and is resumed."""
    code = train_until(number, die, root, *start("cma-es", root))
    assert code in (WORDS[die], 0)  # 0: it was met where nothing is lost by it
    check_resumed("cma-es", root, home)
    return code


@pytest.mark.thorough
@pytest.mark.parametrize("die", thin(WORDS, [fill_the_disk]))
def test_an_error_or_a_signal_at_a_change(die: Any, tmp_path: Path, home: Path) -> None:
    check_an_error_or_a_signal(die, 75, tmp_path, home)


@pytest.mark.slow
@pytest.mark.parametrize("die", WORDS)
def test_an_error_or_a_signal_at_every_third_change(die: Any, tmp_path: Path, home: Path) -> None:
    codes = [
        check_an_error_or_a_signal(die, number, tmp_path / f"{number}", home)
        for number in range(1, 120, 3)
    ]
    assert codes.count(WORDS[die]) > 20


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_killed_at_every_change(
    strategy: str, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = 0
    for number in itertools.count(1):
        root = tmp_path / f"{number}"
        code = train_until(number, kill, root, *start(strategy, root))
        if code == 0:
            break
        assert code == -9
        check_resumed(strategy, root, home)
        tried = number
    with capsys.disabled():
        print(f"{strategy}: {tried} crash points")
    assert tried >= 100


@pytest.mark.thorough
def test_the_evaluation_that_a_kill_interrupted_is_made(tmp_path: Path, command: Command) -> None:
    options = (
        *("--env", "nondiff/SurfaceWaves6-v0", "--strategy", "cma-es", "--budget", 300),
        *("--checkpoint-every", 130, "--eval-every", 130, "--sigma", 0.5, "--net-arch", 8),
        *("--eval-episodes", 2, "--judge-episodes", 2, "--runs", tmp_path, "--name"),
    )
    assert command("train", *options, "whole").code == 0
    assert train_until_evaluation(2, *options, "run") == -9
    assert command("train", "--resume", tmp_path / "run").code == 0
    assert record(tmp_path / "run") == record(tmp_path / "whole")
