"""Processes of train.py that are killed and stopped, and what they leave, down to the bits."""

from __future__ import annotations

import atexit
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from conftest import FEW_EPISODES, ROOT

from nondiff.experiments.commands.cli import run_command
from nondiff.experiments.run.folder import Run
from nondiff.processes.sandbox import spawner

PATIENCE = 240.0  # s; of a busy machine
LEFTOVERS = (".new-", ".step-")
_SHORT = ("--net-arch", 8, "--seed", 7, "--stop-at-success", None, *FEW_EPISODES)
PPO = (
    *("--env", "nondiff/PandaReachDense-v0", "--num-envs", 4, "--normalize-observation"),
    *("--n-steps", 16, "--batch-size", 32, "--n-epochs", 2, *_SHORT),
    *("--budget", 704, "--checkpoint-every", 128, "--eval-every", 192),
)
SAC = (
    *("--env", "nondiff/PandaReach-v0", "--strategy", "sac", "--num-envs", 2, *_SHORT),
    *("--learning-starts", 52, "--batch-size", 16),
    *("--budget", 220, "--checkpoint-every", 44, "--eval-every", 66),
)
SEGMENTS, SEGMENT = 5, 0.6  # of each, and what one takes at most, about [s]
CASES = {"ppo": PPO, "sac": SAC, "ppo in processes": (*PPO, "--vec-env", "processes")}
# For what takes up little time and disk; an episode takes 200 steps.
PENDULUM = (
    *("--env", "Pendulum-v1", "--n-steps", 20, "--batch-size", 20, "--n-epochs", 1, *_SHORT),
    *("--budget", 200, "--checkpoint-every", 40, "--eval-every", 80),
)

# Forks from a process that has imported everything, so that a training in it starts at once.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["nondiff.experiments.commands.train", "nondiff.agents.sb3.training", "torch._dynamo"]
)


def hear_ctrl_c() -> None:
    """For a process that starts: it inherits that a test run in the background ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Trainer:
    """train.py, in a session of its own; when the context ends, nothing of it is left."""

    def __init__(self, home: Path, *arguments: object, pythonpath: object = "") -> None:
        descriptor, log = tempfile.mkstemp(dir=home, prefix="stderr-")
        self._log = Path(log)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "train.py", *map(str, arguments)],
                cwd=home,
                env=os.environ | {"PYTHONPATH": str(pythonpath)},
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
                preexec_fn=hear_ctrl_c,
            )

    def __enter__(self) -> Trainer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in session(self.process.pid):
            process.kill()
        self.process.wait(PATIENCE)

    @property
    def err(self) -> str:
        """What it has printed to stderr until now."""
        return self._log.read_text()

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def wait_for(self, condition: Callable[[], object]) -> bool:
        """Wait until something is so, or the process has ended; returns whether it is so."""
        end = time.monotonic() + PATIENCE
        while not (condition() or self.has_ended):
            assert time.monotonic() < end, self.err
            time.sleep(0.001)
        return bool(condition())

    def wait_for_training(self) -> None:
        assert self.wait_for(lambda: "training in" in self.err), self.err

    def wait_for_segment(self, folder: Path, number: int) -> None:
        """Wait until so many segments of its run have ended."""
        self.wait_for_training()
        self.wait_for(lambda: segments_done(folder) >= number)

    def send(self, signum: signal.Signals, group: bool = False) -> None:
        """Send a signal, to its workers too if asked to; nothing happens once it has ended."""
        if not self.has_ended:
            (os.killpg if group else os.kill)(self.process.pid, signum)

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(PATIENCE)


def session(leader: int) -> list[psutil.Process]:
    """The processes of a session, and their descendants, that have not ended."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found |= {p.pid: p for p in (process, *process.children(recursive=True))}
        except (psutil.Error, ProcessLookupError):
            continue
    return list(found.values())


def started_in(folder: Path, word: str) -> list[psutil.Process]:
    """The wrapped programs with a word in their command that run and have their folder in this one.

    Whoever their parent is: a supervisor may outlive who started it. Tests beside this one start
    the same programs in temporary folders of their own.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            runs = word in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
            if runs and process.environ().get("TMPDIR", "").startswith(str(folder)):
                found.append(process)
    return found


def check_all_gone(processes: list[psutil.Process]) -> None:
    """Assert that processes end, or have ended, by themselves."""
    end = time.monotonic() + 20
    left = processes
    while left and time.monotonic() < end:
        left = [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.05)
    assert not left


def segments_done(folder: Path) -> int:
    """How many segments of a run have ended."""
    run = Run.open(folder)
    return (run.state.checkpoint or 0) // (run.config.checkpoint_every or 1)


def leftovers(root: Path) -> list[Path]:
    """What a writer that was killed left half-written."""
    return [
        path for path in root.rglob("*") if path.name.startswith(LEFTOVERS) or path.suffix == ".tmp"
    ]


def flip(path: Path, share: float) -> None:
    """Flip a bit at a share of the length of a file."""
    data = bytearray(path.read_bytes())
    data[int(share * (len(data) - 1))] ^= 1 << 4
    path.write_bytes(data)


def truncate(path: Path, share: float) -> None:
    """Leave a share of a file."""
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def bits(folder: Path) -> dict[str, str]:
    """What has to be the same of two runs that are the same, by name."""
    run = Run.open(folder)
    contents = {
        f"{role}/{path.name}": path.read_bytes()
        for role in ("best", "last")
        for path in run.model_folder(role).iterdir()
    }
    for path in [*folder.glob("checkpoints/*/*"), folder / "metrics.csv"]:
        contents[str(path.relative_to(folder))] = path.read_bytes()
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    scores = {role: (model.steps, model.score) for role, model in run.state.models.items()}
    result = None if run.state.result is None else run.state.result.to_json()
    # Through JSON and back, as a run that was resumed has been.
    return sums | {
        "files": ", ".join(sorted(path.name for path in folder.iterdir())),
        "result": json.dumps([result, run.state.steps, scores]),
    }


def final(folder: Path) -> dict[str, str]:
    """The part of `bits` that does not depend on what the budget was on the way."""
    return {name: text for name, text in bits(folder).items() if name[:5] in ("last/", "check")}


def unfinished(root: Path) -> Path:
    """A run of `PENDULUM` of 120 steps with three checkpoints, which a larger budget makes go on.

    The same one each time, in a folder of its own.
    """
    return Path(shutil.copytree(_unfinished(), root / "run"))


@cache
def _unfinished() -> Path:
    root = tempfile.mkdtemp(prefix="nondiff-unfinished-")
    atexit.register(shutil.rmtree, root)
    assert train_here(*PENDULUM, "--budget", 120, "--runs", root, "--name", "run") == 0
    return Path(root, "run")


def train_here(*arguments: object) -> object:
    """Train in this process, which saves the seconds of a start; returns the exit code."""
    try:
        run_command("train", [str(argument) for argument in arguments], "nondiff train")
    except SystemExit as end:
        return end.code


def trained_once(*arguments: object) -> Any:
    """`bits` of an uninterrupted run with these arguments, which is trained once."""
    return _trained(tuple(map(str, arguments)))


@cache
def _trained(arguments: tuple[str, ...]) -> dict[str, str]:
    root = Path(tempfile.mkdtemp(prefix="nondiff-whole-"))
    try:
        assert train_here(*arguments, "--runs", root, "--name", "run") == 0
        return bits(root / "run")
    finally:
        shutil.rmtree(root)


@contextmanager
def contained(level: Any) -> Iterator[None]:
    """Within it programs are contained at this level, or at a lower one if that is not allowed."""
    before = spawner._spawner
    before.forget()
    spawner._spawner = spawner.Spawner(level)
    try:
        yield
    finally:
        spawner._spawner.forget()
        spawner._spawner = before
