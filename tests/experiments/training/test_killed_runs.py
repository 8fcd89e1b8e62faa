"""A run that was killed at any moment goes on to the bits of one that was not."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import psutil
import pytest
from conftest import Command
from processes import (
    CASES,
    PPO,
    SAC,
    SEGMENT,
    SEGMENTS,
    Trainer,
    bits,
    check_all_gone,
    final,
    leftovers,
    session,
    trained_once,
)

from nondiff.experiments.run.folder import Run

MOMENTS = {"any time": 12, "saving a checkpoint": 5, "saving a model": 3}
# What is there for a moment while something is saved.
BEING_SAVED = {
    "saving a checkpoint": "checkpoints/.step-*",
    "saving a model": "models/.step-*",
}


def wait_for_moment(trainer: Trainer, folder: Path, moment: str, rng: random.Random) -> None:
    """Wait for a random moment of a kind."""
    trainer.wait_for_training()
    if moment not in BEING_SAVED:
        trainer.wait_for_segment(folder, rng.randint(0, SEGMENTS))
        time.sleep(rng.uniform(0, SEGMENT))
        return
    for _ in range(rng.randint(1, 4)):
        trainer.wait_for(lambda: not any(folder.glob(BEING_SAVED[moment])))
        trainer.wait_for(lambda: any(folder.glob(BEING_SAVED[moment])))
    time.sleep(rng.choice([0, 0.0005, 0.002]))


def kill_one(home: Path, moment: str, rng: random.Random, *arguments: object) -> None:
    """Train in a process, and kill it at a moment of a kind; its workers end with it."""
    with Trainer(home, *arguments) as trainer:
        wait_for_moment(trainer, home / "runs" / "run", moment, rng)
        processes = session(trainer.process.pid)
        trainer.process.kill()
        assert trainer.wait() in (-9, 0), trainer.err
        check_all_gone(processes)
        assert "Traceback" not in trainer.err


def check_goes_on(folder: Path, command: Command, *case: object) -> None:
    if Run.open(folder).status() != "finished":
        answer = command("train", "--resume", folder)
        assert answer.code == 0, answer.err
    assert leftovers(folder.parent) == []
    assert bits(folder) == trained_once(*case)


def check_killed(case: str, moments: list[str], number: int, home: Path, command: Command) -> None:
    """Kill a run, then as often the run that goes on with it, and let it end."""
    folder, rng = home / "runs" / "run", random.Random(f"{case} {number}")
    arguments: tuple[object, ...] = (*CASES[case], "--name", folder.name)
    for moment in moments:
        kill_one(home, moment, rng, *arguments)
        arguments = ("--resume", folder)
        if Run.open(folder).status() == "finished":
            break
    check_goes_on(folder, command, *CASES[case])


@pytest.mark.thorough
@pytest.mark.parametrize("case", ["ppo", "sac"])
def test_a_killed_run_goes_on_to_the_same_bits(case: str, tmp_path: Path, command: Command) -> None:
    check_killed(case, ["any time"], 0, tmp_path, command)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["ppo", "sac"])
@pytest.mark.parametrize(
    ("moment", "number"), [(m, number) for m in MOMENTS for number in range(1, MOMENTS[m] + 1)]
)
def test_killed_at_every_kind_of_moment(
    case: str, moment: str, number: int, tmp_path: Path, command: Command
) -> None:
    check_killed(case, [moment], number, tmp_path, command)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["ppo", "sac"])
@pytest.mark.parametrize("second", ["any time", "saving a checkpoint"])
def test_killed_twice(case: str, second: str, tmp_path: Path, command: Command) -> None:
    check_killed(case, ["saving a checkpoint", second], 30, tmp_path, command)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_no_worker_outlives_a_killed_run(number: int, tmp_path: Path, command: Command) -> None:
    check_killed("ppo in processes", ["any time"], number, tmp_path, command)


@pytest.mark.thorough
def test_workers_end_at_once_when_their_run_is_killed(tmp_path: Path) -> None:
    arguments = (*CASES["ppo in processes"], "--num-envs", 2, "--budget", 100_000)
    with Trainer(tmp_path, *arguments) as trainer:
        assert trainer.wait_for(lambda: list(tmp_path.glob("runs/*/checkpoints/step-*")))
        root = psutil.Process(trainer.process.pid)
        processes = [root, *root.children(recursive=True)]
        assert len(processes) >= 3  # with multiprocessing's own, and a worker each
        trainer.process.kill()
        check_all_gone(processes)
        check_all_gone(session(trainer.process.pid))


@pytest.mark.parametrize(
    ("case", "first"),
    [
        pytest.param(PPO, 320, id="ppo, within a segment"),
        pytest.param(SAC, 132, id="sac, at its end"),
    ],
)
@pytest.mark.thorough
def test_a_larger_budget_ends_like_one_asked_for_at_once(
    case: tuple[object, ...], first: int, tmp_path: Path, command: Command
) -> None:
    folder, place = tmp_path / "run", case.index("--budget") + 1
    whole = trained_once(*case)
    answer = command("train", *case, "--budget", first, "--runs", tmp_path, "--name", folder.name)
    assert answer.code == 0, answer.err
    assert Run.open(folder).state.steps == first
    answer = command("train", "--resume", folder, "--budget", case[place])
    assert answer.code == 0, answer.err
    assert final(folder).items() <= whole.items()
    assert Run.open(folder).state.steps == case[place]


def test_what_a_killed_start_left_goes_with_the_next(tmp_path: Path, command: Command) -> None:
    old, young = tmp_path / ".new-00000old", tmp_path / ".new-0000young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "config.json").touch()
    os.utime(old, (0, 0))  # older than any start takes
    options = ("--env", "CartPole-v1", "--budget", 64, "--eval-episodes", 1, "--judge-episodes", 1)
    answer = command("train", *options, "--runs", tmp_path, "--name", "run")
    assert answer.code == 0, answer.err
    assert leftovers(tmp_path) == [young]
