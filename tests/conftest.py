"""The commands, run as a user runs them, and a run to look at."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from simulators import skip_without

from nondiff.envs.arm.env import ArmEnv
from nondiff.envs.arm.suite import panda_reach
from nondiff.experiments.commands.cli import run_command

ROOT = Path(__file__).parents[1]
SUPPORT, DATA = ROOT / "tests" / "support", ROOT / "tests" / "data"
FEW_EPISODES = ("--eval-episodes", "2", "--confirm-episodes", "2", "--judge-episodes", "5")


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """Let SIGINT be what it is at a terminal: a shell has what it starts with `&` ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder for the key that signs runs, so that the user's own is neither made nor used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@dataclass(frozen=True)
class Answer:
    """What a command came to."""

    code: object
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `nondiff COMMAND ARGUMENTS` in this process, which saves the seconds of a start."""

    def run(name: str, *arguments: object) -> Answer:
        with pytest.raises(SystemExit) as end:
            run_command(name, [str(argument) for argument in arguments], f"nondiff {name}")
        return Answer(end.value.code, *capsys.readouterr())

    return run


def script(name: str, *arguments: object, cwd: Path, pythonpath: str = "") -> Answer:
    """Runs train.py or evaluate.py of the checkout in a process of its own."""
    done = subprocess.run(
        [sys.executable, ROOT / name, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": pythonpath},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def reach(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A short training of train.py on PandaReachDense: its run folder, and what it printed.

    The processes of pytest-xdist share it.
    """
    root = tmp_path_factory.getbasetemp()
    home = (root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root) / "reach"
    home.mkdir(exist_ok=True)
    said = home / "answer.json"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            said.write_text(json.dumps(asdict(_train_reach(home))))
    return home / "runs" / "reach", Answer(**json.loads(said.read_text()))


def _train_reach(home: Path) -> Answer:
    answer = script(
        "train.py",
        *("--env", "nondiff/PandaReachDense-v0", "--name", "reach", "--seed", 5),
        *("--budget", 640, "--eval-every", 256, *FEW_EPISODES),
        cwd=home,
    )
    assert answer.code == 0, answer.err
    return answer


@pytest.fixture
def make() -> Iterator[Callable[..., ArmEnv]]:
    """Makes PandaReach, and closes what it made."""
    made: list[ArmEnv] = []

    def make(**arguments: Any) -> ArmEnv:
        made.append(panda_reach(**arguments))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture
def env_id(request: pytest.FixtureRequest) -> str:
    """A registered id, of an environment whose needs are met."""
    skip_without(request.param)
    return request.param


@pytest.fixture
def env(env_id: str) -> Iterator[gymnasium.Env]:
    """The environment of an id."""
    env = gymnasium.make(env_id)
    yield env
    env.close()
