"""Runs that begin at the same moment never mix, and two processes never train the same one."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import FEW_EPISODES
from processes import (
    FORKS,
    PATIENCE,
    PENDULUM,
    Trainer,
    bits,
    final,
    leftovers,
    train_here,
    trained_once,
)
from thorough_cases import thin

from nondiff.errors import RunError
from nondiff.experiments.run.folder import Run
from nondiff.experiments.run.schema import RunConfig

AT_ONCE = 8
CARTPOLE = ("--env", "CartPole-v1", "--budget", 64, "--net-arch", 4, *FEW_EPISODES)


def create(start: Any, end: Any, root: str, name: str | None, number: int, answers: Any) -> None:
    """Create a run in a process of its own, as the others do; what came of it goes to `answers`."""
    config = {"env": "CartPole-v1", "env_arguments": {}, "strategy": "ppo", "number": number}
    start.wait(PATIENCE)
    try:
        run = Run.create(Path(root), name, "stem", RunConfig.model_validate(config))
    except RunError as error:
        answers.put((number, "refused", str(error)))
        return
    answers.put((number, "created", run.folder.name))
    end.wait(PATIENCE)  # its lock is held until the others have tried
    run.close()


def created(root: Path, names: Sequence[str | None]) -> list[tuple[int, str, str]]:
    """What came of runs that were created at the same moment, each in a process."""
    start, end, answers = FORKS.Barrier(len(names)), FORKS.Event(), FORKS.Queue()
    processes = [
        FORKS.Process(target=create, args=(start, end, str(root), name, number, answers))
        for number, name in enumerate(names)
    ]
    for process in processes:
        process.start()
    found = sorted(answers.get(timeout=PATIENCE) for _ in processes)
    end.set()
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("attempt", thin(range(3), [0]))
def test_a_name_is_given_once(attempt: int, tmp_path: Path) -> None:
    found = created(tmp_path, ["same"] * AT_ONCE)
    (winner,) = [number for number, came, _ in found if came == "created"]
    for _, came, text in found:
        assert came == "created" or "exists already; choose another --name" in text
    assert [path.name for path in tmp_path.iterdir()] == ["same"]
    assert Run.open(tmp_path / "same").config.to_json()["number"] == winner


@pytest.mark.thorough
@pytest.mark.parametrize("attempt", thin(range(3), [0]))
def test_names_that_are_made_differ(attempt: int, tmp_path: Path) -> None:
    found = created(tmp_path, [None] * AT_ONCE)
    assert {text for _, _, text in found} == {f"stem-{n}" for n in range(1, AT_ONCE + 1)}
    for number, came, name in found:
        assert came == "created"
        assert Run.open(tmp_path / name).config.to_json()["number"] == number
    assert leftovers(tmp_path) == []


def go_on(start: Any, folder: str) -> None:
    start.wait(PATIENCE)
    sys.exit(train_here("--resume", folder, "--budget", 200))  # type: ignore[arg-type]


@pytest.mark.thorough
def test_a_run_is_gone_on_with_once(tmp_path: Path) -> None:
    assert train_here(*PENDULUM, "--budget", 120, "--runs", tmp_path, "--name", "run") == 0
    start = FORKS.Barrier(2)
    processes = [FORKS.Process(target=go_on, args=(start, str(tmp_path / "run"))) for _ in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert sorted(process.exitcode for process in processes) == [0, 2]
    assert final(tmp_path / "run").items() <= trained_once(*PENDULUM).items()


# Processes of train.py


def started(stack: ExitStack, home: Path, count: int, *arguments: object) -> list[Trainer]:
    return [stack.enter_context(Trainer(home, *arguments)) for _ in range(count)]


@pytest.mark.thorough
def test_eight_processes_with_one_name(tmp_path: Path) -> None:
    with ExitStack() as stack:
        trainers = started(stack, tmp_path, AT_ONCE, *CARTPOLE, "--name", "same")
        codes = [trainer.wait() for trainer in trainers]
        assert sorted(codes) == [0] + [2] * (AT_ONCE - 1)
        for code, trainer in zip(codes, trainers, strict=True):
            if code == 2:
                assert trainer.err.startswith("error: the run runs/same exists already")
                assert trainer.err.count("\n") == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["same"]
    assert bits(tmp_path / "runs" / "same") == trained_once(*CARTPOLE)


@pytest.mark.thorough
def test_eight_processes_without_a_name(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for trainer in started(stack, tmp_path, AT_ONCE, *CARTPOLE):
            assert trainer.wait() == 0, trainer.err
    folders = list((tmp_path / "runs").iterdir())
    assert {folder.name for folder in folders} == {
        f"CartPole-v1-ppo-s0-{n + 1}" for n in range(AT_ONCE)
    }
    for folder in folders:
        assert bits(folder) == trained_once(*CARTPOLE)
        for role in ("best", "last"):
            assert Run.open(folder).load_policy(role).description()["strategy"] == "ppo"


@pytest.mark.thorough
def test_two_processes_that_go_on_with_a_run(tmp_path: Path) -> None:
    assert train_here(*PENDULUM, "--budget", 40, "--runs", tmp_path, "--name", "run") == 0
    with ExitStack() as stack:
        arguments = ("--resume", tmp_path / "run", "--budget", 2_000)
        trainers = started(stack, tmp_path, 2, *arguments)
        while not any(trainer.has_ended for trainer in trainers):
            time.sleep(0.1)
        refused, trained = sorted(trainers, key=lambda trainer: not trainer.has_ended)
        assert refused.wait() == 2
        assert "is being trained by another process" in refused.err
        assert refused.err.count("\n") == 1
        assert trained.wait() == 0
    assert Run.open(tmp_path / "run").state.steps == 2_000
