"""A user's error is one line that names the fault, and nothing is written."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import gymnasium
import pytest
import torch
from conftest import FEW_EPISODES, Answer, Command, script

REACH = ("--env", "nondiff/PandaReach-v0")
PENDULUM = ("--env", "Pendulum-v1", "--budget", 64)

TRAIN = {
    "unknown environment": (
        ("--env", "nondiff/PandaReech-v0"),
        "did you mean nondiff/PandaReach-v0",
    ),
    "far from any name": (("--env", "qqqq"), "unknown environment 'qqqq'"),
    "no such module": (("--env", "nope:Env-v0"), "can't import 'nope'"),
    "unknown strategy": ((*REACH, "--strategy", "pqo"), "did you mean ppo"),
    "discrete actions": (
        ("--env", "CartPole-v1", "--strategy", "sac"),
        "these can: ppo, a2c, trpo, dqn, qrdqn, cma-es",
    ),
    "tuple observations": (("--env", "Blackjack-v1"), "FlattenObservation"),
    "negative budget": ((*REACH, "--budget", -5), "--budget -5"),
    "no budget": ((*REACH, "--budget", 0), "--budget 0"),
    "negative seed": ((*REACH, "--seed", -1), "--seed -1"),
    "no threads": ((*REACH, "--threads", 0), "--threads 0"),
    "no evaluation": ((*REACH, "--eval-episodes", 0), "--eval-episodes 0"),
    "name elsewhere": ((*REACH, "--name", "../escaped"), "'../escaped' can't name a run"),
    "name of the folder": ((*REACH, "--name", ".."), "'..' can't name a run"),
    "runs is a file": ((*PENDULUM, "--runs", "file"), "file"),
    "no environments": ((*REACH, "--num-envs", 0), "num_envs = 0"),
    "infinite step": ((*REACH, "--learning-rate", "inf"), "learning_rate = inf"),
    "step beyond single precision": (
        (*REACH, "--learning-rate", "1e300"),
        "learning_rate = 1e+300",
    ),
    "entropy": ((*PENDULUM, "--strategy", "sac", "--ent-coef", "much"), "'much'"),
    "unknown argument": ((*REACH, "--env-arg", "robot=ur5"), "'robot'; choose from camera, contr"),
    "bad value": ((*REACH, "--env-arg", "control_type=feet"), "'feet' is unknown; choose from ee"),
    "no value": ((*REACH, "--env-arg", "horizon"), "KEY=VALUE"),
    "bad horizon": ((*REACH, "--env-arg", "horizon=0"), "horizon must be a positive"),
    "actions of a network": (
        ("--env", "CartPole-v1", "--strategy", "dqn", "--network", "nondiff"),
        "dqn: network = 'nondiff' gives actions",
    ),
    "no network for Dicts": (
        (*REACH, "--strategy", "crossq"),
        "crossq has no network for Dicts or pictures",
    ),
    "continuous actions": ((*PENDULUM, "--strategy", "qrdqn"), "qrdqn needs discrete actions"),
    "goals needed": ((*PENDULUM, "--strategy", "td3", "--her", "True"), "goal-conditioned"),
}


def check_error(answer: Answer, words: str) -> None:
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1, answer.err
    assert words in answer.err


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.thorough
@pytest.mark.parametrize("fault", TRAIN)
def test_train_refuses_in_one_line_and_writes_nothing(
    fault: str, command: Command, home: Path
) -> None:
    arguments, words = TRAIN[fault]
    (home / "file").touch()
    check_error(command("train", *arguments), words)
    assert [path.name for path in home.iterdir()] == ["file"]


def test_the_process_itself_prints_one_line(tmp_path: Path) -> None:
    answer = script("train.py", "--env", "nondiff/PandaReech-v0", cwd=tmp_path)
    check_error(answer, "did you mean nondiff/PandaReach-v0")
    assert answer.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("--budget", "many"), ("--no-such-option", "1")])
def test_what_is_no_option_is_refused_without_a_traceback(
    arguments: tuple[str, str], command: Command, home: Path
) -> None:
    answer = command("train", *REACH, *arguments)
    assert answer.code == 2
    assert arguments[0] in answer.err or arguments[1] in answer.err
    assert "Traceback" not in answer.err
    assert list(home.iterdir()) == []


def test_an_existing_run_is_not_overwritten(command: Command, home: Path) -> None:
    train = (*PENDULUM, *FEW_EPISODES, "--name", "mine")
    assert command("train", *train).code == 0
    runs = home / "runs"
    before = {path: path.stat().st_mtime_ns for path in (runs / "mine").rglob("*")}
    check_error(command("train", *train), "mine exists already")
    assert {path: path.stat().st_mtime_ns for path in (runs / "mine").rglob("*")} == before
    assert [path.name for path in runs.iterdir()] == ["mine"]


def test_an_environment_that_breaks_leaves_one_line_and_the_models(
    command: Command, home: Path
) -> None:
    faulty = ("--env", "small_envs:Faulty-v0", "--env-arg", "at=70", "--budget", 256)
    answer = command("train", *faulty, "--eval-every", 30, *FEW_EPISODES, "--eval-episodes", 1)
    assert answer.code == 2
    (line,) = (text for text in answer.err.splitlines() if text.startswith("error: "))
    assert answer.err.endswith(f"{line}\n")
    assert "step 70; the last good model, of step" in line
    assert "Traceback" not in answer.err


EVALUATE = {
    "no run": (("nowhere",), "nowhere is not a run folder"),
    "no folder given": ((), "one run folder, or two"),
    "three runs": (("{run}", "{run}", "{run}"), "one run folder, or two"),
    "other spaces": (("{run}", "--env", "CartPole-v1"), "does not fit this environment"),
    "other actions": (("{run}", "--env-arg", "control_type=joints"), "its action_space is"),
    "suffix": (("{run}", "--video", "film.avi"), ".mp4 or .gif"),
    "video nowhere": (("{run}", "--video", "nowhere/film.mp4"), "there is no folder"),
    "no episodes": (("{run}", "--episodes", 0), "--episodes"),
    "rate": (("{run}", "--min-success", 1.5), "--min-success 1.5 is not from 0 to 1"),
    "no such argument": (("{run}", "--env-arg", "gravity=0"), "'gravity'"),
}


@pytest.mark.parametrize("fault", EVALUATE)
def test_evaluate_refuses_in_one_line(
    fault: str, command: Command, reach: tuple[Path, Answer], home: Path
) -> None:
    arguments, words = EVALUATE[fault]
    filled = [str(argument).format(run=reach[0]) for argument in arguments]
    check_error(command("evaluate", *filled), words)
    assert list(home.iterdir()) == []


def test_evaluate_refuses_a_damaged_model(
    command: Command, reach: tuple[Path, Answer], home: Path
) -> None:
    run = Path(shutil.copytree(reach[0], home / "damaged"))
    for weights in run.glob("models/*/weights.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    check_error(command("evaluate", run, "--episodes", 1), "damaged or was altered")


@pytest.mark.parametrize("name", ["config.json", "run.json"])
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "finished", "models": 3, "env": 3}'])
def test_evaluate_refuses_a_damaged_run(
    text: str, name: str, command: Command, reach: tuple[Path, Answer], home: Path
) -> None:
    run = Path(shutil.copytree(reach[0], home / "damaged"))
    (run / name).write_text(text)
    check_error(command("evaluate", run, "--episodes", 1), "damaged")


def test_evaluate_never_leaves_the_run_folder(
    command: Command, reach: tuple[Path, Answer], home: Path
) -> None:
    run = Path(shutil.copytree(reach[0], home / "run"))
    state = (run / "run.json").read_text()
    (run / "run.json").write_text(state.replace('"step-', '"../../step-'))
    check_error(command("evaluate", run, "--episodes", 1), "run.json is damaged")


def test_success_is_asked_of_an_environment_that_reports_none(
    command: Command, reach: tuple[Path, Answer], home: Path
) -> None:
    assert command("train", *PENDULUM, *FEW_EPISODES, "--name", "pendulum").code == 0
    run = home / "runs" / "pendulum"
    few = ("--episodes", 1, "--random-episodes", 0)
    check_error(command("evaluate", run, *few, "--min-success", 0.5), "is_success")
    check_error(command("evaluate", run, reach[0], *few), "different environments")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(command: Command, home: Path) -> None:
    check_error(command("train", *PENDULUM, "--device", "cuda"), "no GPU")
    assert list(home.iterdir()) == []


@pytest.mark.skipif(find_spec("pygame") is not None, reason="pygame is installed")
def test_a_renderer_that_is_missing_is_named(command: Command, home: Path) -> None:
    assert command("train", *PENDULUM, *FEW_EPISODES, "--name", "pendulum").code == 0
    few = ("--episodes", 1, "--random-episodes", 0)
    answer = command("evaluate", home / "runs" / "pendulum", *few, "--video", "film.gif")
    check_error(answer, "pygame")


def test_a_wrong_id_of_a_package_is_answered_with_its_ids(
    home: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    (home / "their_ids.py").write_text(
        "import gymnasium\ngymnasium.register('their/Rocket-v0', entry_point='their_ids:Rocket')\n"
    )
    monkeypatch.syspath_prepend(home)
    try:
        answer = command("train", "--env", "their_ids:their/Cart-v0")
        check_error(answer, "unknown environment 'their/Cart-v0'; ")
        assert "their/Rocket-v0" in answer.err
        assert "CartPole" not in answer.err
    finally:
        gymnasium.registry.pop("their/Rocket-v0", None)
