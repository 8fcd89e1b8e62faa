"""Ctrl-C and SIGTERM end a run at any moment: nothing half-written stays, and it can go on."""

from __future__ import annotations

import random
import shlex
import signal
import time
from pathlib import Path

import pytest
from conftest import SUPPORT, Command
from processes import (
    CASES,
    PPO,
    ROOT,
    SEGMENT,
    SEGMENTS,
    Trainer,
    bits,
    check_all_gone,
    leftovers,
    session,
    trained_once,
    unfinished,
)

from nondiff import A2C
from nondiff.experiments.commands.resume import ResumeOptions, resume
from nondiff.experiments.commands.train import TrainOptions, train
from nondiff.experiments.run.folder import Run
from nondiff.experiments.stopping import Interrupted, Stop

SIGNALS = (signal.SIGINT, signal.SIGTERM)
START = 4.0  # until a run has a folder, about [s]
LONG = ("--budget", 10_000_000)
IN_PROCESSES = (*CASES["ppo in processes"], "--num-envs", 2)
HANGS = ("--env", "faulty_envs:Breaks-v0", "--env-arg", "fault=sleep", "--env-arg", "at=50")


def wait_for_moment(trainer: Trainer, folder: Path, moment: str, rng: random.Random) -> None:
    """Wait for a random moment of a kind."""
    if moment == "starting":
        time.sleep(rng.uniform(0, START))
        return
    trainer.wait_for_segment(folder, 1 if moment == "evaluating" else rng.randint(0, SEGMENTS))
    time.sleep(rng.uniform(0, SEGMENT))


def stop(trainer: Trainer, signum: signal.Signals, group: bool = False) -> None:
    """Send a signal, and assert that nothing of the training is left when it has ended."""
    processes = session(trainer.process.pid)
    trainer.send(signum, group)
    trainer.wait()
    check_all_gone(processes)
    check_all_gone(session(trainer.process.pid))


def check_stopped(trainer: Trainer, folder: Path, signum: signal.Signals) -> None:
    """Assert that a training has ended as one that was asked to."""
    code, err = trainer.wait(), trainer.err
    if "Traceback" in err and "train.py" not in err:
        return  # Python itself had not started yet
    assert "Traceback" not in err, err
    assert leftovers(folder.parent) == []
    if not folder.exists():  # and perhaps before Python had taken over the signal
        assert code in (128 + signum, -signum), err
        assert "go on with" not in err
    elif code == 0:  # it came when all was done
        assert Run.open(folder).state.state == "finished"
    else:
        assert code == 128 + signum, err
        assert Run.open(folder).state.state == "interrupted"
        interrupted, advice = err.splitlines()[-2:]
        assert f"interrupted by {signum.name}" in interrupted
        _, script, option, place = shlex.split(advice.removeprefix("go on with: "))
        assert (Path(script), option) == (ROOT / "train.py", "--resume")
        assert folder.parents[1] / place == folder


def check_goes_on(folder: Path, command: Command, *case: object) -> None:
    if folder.exists() and Run.open(folder).state.state != "finished":
        answer = command("train", "--resume", folder)
        assert answer.code == 0, answer.err
        assert bits(folder) == trained_once(*case)


def check(
    case: str, signum: signal.Signals, moment: str, number: int, home: Path, command: Command
) -> None:
    """Stop a training at a random moment, and go on with it."""
    folder, rng = home / "runs" / "run", random.Random(f"{case} {signum} {moment} {number}")
    with Trainer(home, *CASES[case], "--name", folder.name) as trainer:
        wait_for_moment(trainer, folder, moment, rng)
        stop(trainer, signum, group=case == "ppo in processes")
        check_stopped(trainer, folder, signum)
    check_goes_on(folder, command, *CASES[case])


@pytest.mark.parametrize(
    "signum", [pytest.param(signal.SIGINT, marks=pytest.mark.thorough), signal.SIGTERM]
)
def test_a_stopped_run_goes_on_to_the_same_bits(
    signum: signal.Signals, tmp_path: Path, command: Command
) -> None:
    check("ppo", signum, "training", 0, tmp_path, command)


@pytest.mark.slow
@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("number", range(1, 5))
def test_stopped_in_training(
    case: str, signum: signal.Signals, number: int, tmp_path: Path, command: Command
) -> None:
    check(case, signum, "training", number, tmp_path, command)


@pytest.mark.slow
@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("case", ["sac", "ppo in processes"])
@pytest.mark.parametrize("number", range(12))
def test_stopped_as_it_starts(
    case: str, signum: signal.Signals, number: int, tmp_path: Path, command: Command
) -> None:
    check(case, signum, "starting", number, tmp_path, command)


def test_stopped_while_python_starts(tmp_path: Path) -> None:
    for seconds in (0.03, 0.1, 0.3):
        with Trainer(tmp_path, *PPO, "--name", "run") as trainer:
            time.sleep(seconds)
            stop(trainer, signal.SIGINT)
            check_stopped(trainer, tmp_path / "runs" / "run", signal.SIGINT)


@pytest.mark.thorough
@pytest.mark.parametrize("signum", SIGNALS)
def test_stopped_in_an_evaluation(signum: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "run"
    with Trainer(tmp_path, *PPO, "--eval-episodes", 100_000, "--name", "run") as trainer:
        wait_for_moment(trainer, folder, "evaluating", random.Random(1))
        time.sleep(1)
        stop(trainer, signum)
        check_stopped(trainer, folder, signum)
    assert Run.open(folder).state.models["last"].steps == 192


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.thorough
def test_ctrl_c_reaches_the_workers_too(signum: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "run"
    with Trainer(tmp_path, *IN_PROCESSES, *LONG, "--name", "run") as trainer:
        wait_for_moment(trainer, folder, "training", random.Random(2))
        stop(trainer, signum, group=True)
        check_stopped(trainer, folder, signum)
        assert trainer.wait() == 128 + signum


@pytest.mark.thorough
def test_stopped_again_as_it_goes_on(tmp_path: Path, command: Command) -> None:
    folder, arguments = tmp_path / "runs" / "run", (*PPO, "--name", "run")
    for number, signum in enumerate((*SIGNALS, *SIGNALS)):
        with Trainer(tmp_path, *arguments) as trainer:
            trainer.wait_for_segment(folder, number)
            stop(trainer, signum)
            check_stopped(trainer, folder, signum)
        arguments = ("--resume", folder)
    check_goes_on(folder, command, *PPO)


def test_stopped_before_a_resumed_run_trains(tmp_path: Path) -> None:
    folder, stop = unfinished(tmp_path), Stop()
    stop.signum = signal.SIGINT
    with pytest.raises(Interrupted) as interrupted:
        resume(ResumeOptions(folder, budget=200), stop)
    assert interrupted.value.run == folder  # so that the command says how to go on
    assert "goes on from the checkpoint of step 120" in str(interrupted.value)
    assert Run.open(folder).status() == "interrupted"


@pytest.mark.thorough
@pytest.mark.parametrize("where", ["serial", pytest.param("processes", marks=pytest.mark.thorough)])
def test_the_second_signal_ends_a_training_that_hangs(where: str, tmp_path: Path) -> None:
    hangs, folder = tmp_path / "hangs", tmp_path / "runs" / "run"
    options = (*HANGS, "--env-arg", f"flag={hangs}", "--vec-env", where, *LONG)
    with Trainer(tmp_path, *options, "--name", "run", pythonpath=SUPPORT) as trainer:
        assert trainer.wait_for(hangs.exists), trainer.err
        processes = session(trainer.process.pid)
        trainer.send(signal.SIGINT, group=True)
        assert trainer.wait_for(lambda: "once more to exit at once" in trainer.err)
        assert not trainer.has_ended
        trainer.send(signal.SIGTERM, group=True)
        assert trainer.wait() == 143
        check_all_gone(processes)
        assert "Traceback" not in trainer.err
    assert Run.open(folder).status() == "interrupted"
    assert leftovers(folder.parent) == []


def test_a_signal_before_a_run_was_begun_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()
    monkeypatch.setattr(stop, "signum", signal.SIGINT)  # as it came while the options were checked
    options = TrainOptions(env="CartPole-v1", runs=tmp_path / "runs", budget=64)
    with pytest.raises(Interrupted, match="interrupted by SIGINT; no run was begun"):
        train(options, A2C(), stop)
    assert not (tmp_path / "runs").exists()
