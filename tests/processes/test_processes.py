"""Programs that crash, hang, escape and lie, in both modes and however environments are run."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SUPPORT, Command
from fakesim_env import FAKESIM, fakesim
from processes import Trainer, check_all_gone, contained, session, started_in
from thorough_cases import diagonal, thin

from nondiff import PPO
from nondiff.agents.api import _Recorder
from nondiff.agents.evolution.configs import CMAES
from nondiff.agents.pathwise.configs import FiniteDifference, Surrogate
from nondiff.agents.policies.network import MLP
from nondiff.agents.strategy import Training
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import EnvironmentFailedError, InvalidOptionError
from nondiff.experiments.run.folder import Run
from nondiff.processes.sandbox import (
    CallFailed,
    Limits,
    PersistentProcess,
    ThreadPool,
    isolation,
    run_once,
    spawner,
)
from nondiff.processes.sandbox import launch as launching

torch.set_num_threads(1)
PATIENCE = 20.0  # [s]
FOLDERS = launching.PREFIX + "*"
GOOD, BAD = [-0.5, 0.0], [1.0, 0.0]  # actions: x0 = 0.25 and 1, x1 = 0.5

# The kind of failure, for a program that is started for each call, and for one that stays.
KINDS = {
    "exit": ("crash", "crash"),
    "nothing": ("invalid output", "crash"),
    "segfault": ("crash", "crash"),
    "hang": ("timeout", "timeout"),
    "deaf": ("timeout", "timeout"),
    "stderr": ("crash", "crash"),
    "stdout": ("crash", "invalid output"),
    "half": ("invalid output", "crash"),
    "nan": ("invalid output", "invalid output"),
    "shape": ("invalid output", "invalid output"),
    "garbage": ("invalid output", "invalid output"),
    "range": ("invalid output", "invalid output"),
    "escape": ("timeout", "timeout"),
    "eat": ("crash", "crash"),
    "litter": ("crash", "crash"),
}
MODES = {"per call": False, "persistent": True}
CASES = [
    pytest.param(*(fault, mode, KINDS[fault][MODES[mode]]), id=f"{fault}, {mode}", marks=case.marks)
    for case in diagonal([*KINDS], [*MODES])
    for fault, mode in [case.values]
]


def eventually(condition: Callable[[], object]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files, in which nothing is left, as no process is."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    gc.collect()
    assert eventually(lambda: not list(tmp_path.glob(FOLDERS))), list(tmp_path.glob(FOLDERS))
    assert eventually(lambda: not started_in(tmp_path, str(FAKESIM)))


def run(box: Any, actions: Any) -> np.ndarray:
    return box.transition(np.zeros((len(actions), 0)), np.array(actions, np.float64))


# ---- Every fault


@pytest.mark.parametrize(("fault", "mode", "kind"), CASES)
def test_a_fault_is_one_failed_row_of_the_declared_kind(fault: str, mode: str, kind: str) -> None:
    box = fakesim(fault, MODES[mode], timeout=2.0 if kind == "timeout" else PATIENCE)
    with closing(box):
        outcome = run(box, [GOOD, BAD, GOOD, BAD, GOOD])
    failed = np.isnan(outcome).any(axis=1).tolist()
    assert failed == [False, True, False, True, False], box.last_failure
    np.testing.assert_array_equal(outcome[::2], [[0.5625, -0.25]] * 3)
    assert box.failures == {kind: 2}
    assert box.last_failure.startswith("at the parameters [1.0, 0.5]: " + kind)


def test_what_a_program_said_is_quoted() -> None:
    box = fakesim("exit", timeout=PATIENCE)
    run(box, [BAD])
    assert box.last_failure.endswith("crash: it exited with code 1; it said: no licence")


@pytest.mark.parametrize("mode", MODES)
def test_a_process_that_a_program_leaves_behind_does_not_outlive_it(mode: str) -> None:
    with closing(fakesim("daemon", MODES[mode], timeout=PATIENCE)) as box:
        assert np.isfinite(run(box, [BAD, GOOD])).all()


def test_what_was_said_without_being_asked_is_taken_for_no_answer() -> None:
    with closing(fakesim("chatter", True, timeout=PATIENCE, workers=1)) as box:
        found = run(box, [BAD, GOOD, BAD, GOOD])
    np.testing.assert_array_equal(found, [[1.5, 0.5], [0.5625, -0.25]] * 2)


@pytest.mark.thorough
def test_both_modes_and_any_number_of_workers_give_the_same_bits() -> None:
    actions = np.random.default_rng(0).uniform(-1, 0.5, (12, 2))
    results = []
    for persistent in MODES.values():
        for workers in (1, 3):
            with closing(fakesim("exit", persistent, timeout=PATIENCE, workers=workers)) as box:
                results += [run(box, actions), run(box, actions[::-1])[::-1]]
    assert all(np.array_equal(result, results[0]) for result in results)


# ---- Every way of running environments, every kind of strategy

SHORT = {"n_steps": 8, "batch_size": 8, "n_epochs": 1, "log_std_init": -0.5}
TRAININGS = {
    "serial": PPO(num_envs=2, **SHORT),
    "batched": PPO(num_envs=4, vec_env="batched", **SHORT),
    "processes": PPO(num_envs=2, vec_env="processes", **SHORT),
    "surrogate": Surrogate(
        rounds=2, surrogate_steps=5, policy_steps=5, final_policy_steps=5, surrogate_net_arch=(8,)
    ),
    "finite-difference": FiniteDifference(batch_size=4),
    "cma-es": CMAES(episodes=2),
}
QUICK = [
    ("exit", "batched", "persistent"),
    ("segfault", "processes", "per call"),
    ("nan", "surrogate", "per call"),
]


def check_training(fault: str, mode: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    torch.manual_seed(0)
    arguments = {"fault": fault, "persistent": MODES[mode], "threshold": 0.8}
    recipe = EnvRecipe("fakesim_env:FakeSim-v0", arguments)
    with recipe.opened() as env:
        network = MLP.for_env(env, (8,))
    recorder = _Recorder(None)
    TRAININGS[way].train(Training(recipe, 40, 0, module=network), recorder)
    assert 30 < recorder.result.calls <= 40
    assert all(torch.isfinite(weight).all() for weight in network.parameters())


@pytest.mark.thorough
@pytest.mark.parametrize("case", thin(QUICK, QUICK[::2]), ids=", ".join)
def test_training_survives_faults(
    case: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, way, mode = case
    check_training(fault, mode, way, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("way", TRAININGS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", KINDS)
def test_training_survives_every_fault_in_every_way(
    fault: str, way: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_training(fault, mode, way, monkeypatch)


@pytest.mark.thorough
@pytest.mark.parametrize("mode", MODES)
def test_failures_in_a_row_end_a_training(mode: str) -> None:
    with closing(fakesim("exit", MODES[mode], timeout=PATIENCE, max_failures=6)) as box:
        run(box, [BAD] * 4 + [GOOD] + [BAD] * 5)
        with pytest.raises(EnvironmentFailedError, match=r"6 calls .* in a row.*no licence"):
            run(box, [BAD] * 4)


OPTIONS = (
    *("--env", "fakesim_env:FakeSim-v0", "--n-steps", 8, "--batch-size", 8, "--n-epochs", 1),
    *("--checkpoint-every", 8, "--budget", 48, "--eval-every", 48, "--stop-at-success", None),
    *("--eval-episodes", 2, "--judge-episodes", 2, "--name", "own"),
)


def options(flag: Path) -> tuple[object, ...]:
    values = {"fault": f"flag={flag}", "max_failures": 5}
    pairs = [("--env-arg", f"{key}={value}") for key, value in values.items()]
    return (*OPTIONS, *(word for pair in pairs for word in pair))


@pytest.mark.thorough
def test_a_program_that_breaks_ends_the_run_at_a_checkpoint_from_which_it_goes_on(
    home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    flag, runs = home / "broken", home / "runs"
    assert command("train", *options(flag), "--runs", home / "whole").code == 0
    arguments = (*options(flag), "--runs", runs)
    with Trainer(home, *arguments, pythonpath=SUPPORT) as trainer:
        assert trainer.wait_for(lambda: len(list(runs.glob("own/checkpoints/*"))) >= 2)
        flag.touch()
        assert trainer.wait() == 2
        message = trainer.err.splitlines()[-1]
    assert "5 calls of the program failed in a row, the last one by crash: it exited" in message
    assert f"--resume {runs / 'own'} goes on from the checkpoint of step" in message
    flag.unlink()
    assert command("train", "--resume", runs / "own").code == 0
    whole, resumed = (Run.open(p / "own").model_folder("last") for p in (home / "whole", runs))
    (weights,) = whole.glob("*.safetensors")
    assert weights.read_bytes() == (resumed / weights.name).read_bytes()


# ---- Deaths of everybody concerned


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("signum", "way"),
    [
        (signal.SIGKILL, "processes"),
        pytest.param(signal.SIGTERM, "serial", marks=pytest.mark.thorough),
        pytest.param(signal.SIGKILL, "serial", marks=pytest.mark.thorough),
        pytest.param(signal.SIGTERM, "processes", marks=pytest.mark.thorough),
        pytest.param(signal.SIGINT, "serial", marks=pytest.mark.thorough),
        pytest.param(signal.SIGINT, "processes", marks=pytest.mark.thorough),
    ],
)
def test_nothing_is_left_of_a_training_that_is_killed_in_a_call(
    signum: signal.Signals, way: str, home: Path
) -> None:
    arguments = (*OPTIONS, "--env-arg", "timeout=2", "--env-arg", "threshold=-1")
    with Trainer(
        home, *arguments, "--vec-env", way, "--runs", home / "runs", pythonpath=SUPPORT
    ) as trainer:
        assert trainer.wait_for(lambda: started_in(home, str(FAKESIM)))
        processes = session(trainer.process.pid)
        trainer.send(signum)
        trainer.wait()
        check_all_gone([*processes, *session(trainer.process.pid)])


def test_a_supervisor_that_is_killed_between_calls_is_replaced() -> None:
    with closing(PersistentProcess(["cat"], limits=Limits(timeout=PATIENCE))) as process:
        assert process.ask("one\n") == "one"
        assert process._pipes is not None
        init = process._pipes.launched.init_pid()
        assert init
        os.kill(init, signal.SIGKILL)
        assert eventually(lambda: process._pipes and not process._pipes.is_idle())
        assert process.ask("two\n") == "two"
        assert process.starts == 2


def test_a_supervisor_that_is_killed_in_a_call_is_a_crash() -> None:
    with closing(PersistentProcess(["sleep", "600"], limits=Limits(timeout=PATIENCE))) as process:

        def kill() -> None:
            assert eventually(lambda: process._pipes)
            assert process._pipes is not None
            os.kill(process._pipes.launched.init_pid() or 0, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        with pytest.raises(CallFailed, match=r"crash: it .* before it had answered"):
            process.ask("one\n")
        thread.join()


def test_programs_start_again_when_the_spawner_was_killed() -> None:
    run_once(["true"])
    connection = spawner._spawner._socket
    assert connection is not None
    spawner._spawner.forget()
    assert run_once(["echo", "again"]).stdout == "again\n"
    broken = spawner._spawner._socket
    assert broken is not None
    broken.shutdown(2)  # what the death of the spawner does
    assert run_once(["echo", "once more"]).stdout == "once more\n"


def test_a_fork_of_this_process_runs_programs_of_its_own() -> None:
    run_once(["true"])
    code = (
        "import os\nfrom nondiff.processes.sandbox import run_once\nrun_once(['true'])\n"
        "if os.fork() == 0:\n    os._exit(run_once(['true']).code)\n"
        "assert os.wait()[1] == 0\nprint(run_once(['echo', 'both']).stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "both"


# ---- One call


def failure(*words: object, **given: Any) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        run_once([str(word) for word in words], **given)
    return caught.value


def test_a_program_that_is_missing_or_no_program_fails_to_start(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("hello")
    for path in ("/no/such/program", text, tmp_path):
        assert failure(path).kind == "start failure"
    assert "No such file" in str(failure("/no/such/program"))


def test_a_call_reads_and_writes_in_a_folder_of_its_own() -> None:
    output = run_once(
        ["sh", "-c", 'cat in.txt - > out.txt; pwd; env; printf "%s" "$1"', "sh", "; rm -rf $HOME"],
        files={"in.txt": "one "},
        stdin="two",
        reads=("out.txt",),
        environment={"MINE": "1"},
    )
    assert output.files == {"out.txt": "one two"}
    folder, *lines, last = output.stdout.splitlines()
    assert not Path(folder).exists()
    assert last == "; rm -rf $HOME"
    names = {line.partition("=")[0] for line in lines}
    assert {"PATH", "HOME", "TMPDIR", "LANG", "MINE"} <= names
    assert names <= {"PATH", "HOME", "TMPDIR", "LANG", "MINE", "PWD", "SHLVL", "_", "OLDPWD"}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "body",
    ["ln -s /etc/passwd out", "mkfifo out", "mkdir out", "true", "head -c 2000000 /dev/zero>out"],
)
def test_a_file_that_is_none_is_an_invalid_output(body: str) -> None:
    kinds = {failure("sh", "-c", body, reads=("out",), limits=Limits(file_size=1 << 20)).kind}
    assert kinds <= {"invalid output", "crash"}


def test_exit_codes_are_accepted_as_asked() -> None:
    assert run_once(["sh", "-c", "exit 1"], accept=(0, 1)).code == 1
    assert run_once(["sh", "-c", "exit 7"], accept=None).code == 7
    assert failure("sh", "-c", "kill -9 $$", accept=None).kind == "crash"
    assert "exited with code 7" in str(failure("sh", "-c", "exit 7"))


def test_a_time_limit_ends_the_call_and_the_whole_tree() -> None:
    body = "setsid sh -c 'setsid sleep 600 & sleep 600' & trap '' TERM; sleep 600"
    begun = time.monotonic()
    assert failure("sh", "-c", body, limits=Limits(timeout=0.3)).kind == "timeout"
    assert time.monotonic() - begun < PATIENCE


def test_signals_mean_what_they_mean_to_any_program() -> None:
    python = [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT))"]
    assert "default_int_handler" in run_once(python).stdout
    assert run_once(["sh", "-c", "yes | head -1"]).stdout == "y\n"  # which needs SIGPIPE


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are of Linux")
def test_where_there_are_namespaces_a_program_is_alone() -> None:
    if isolation() not in ("sandbox", "namespaces"):
        pytest.skip("this system allows no namespaces")
    assert int(run_once(["sh", "-c", "echo $$"]).stdout) < 10
    interfaces = run_once(["cat", "/proc/net/dev"]).stdout.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    shared = run_once(["cat", "/proc/net/dev"], limits=Limits(network=True)).stdout
    assert (
        shared.splitlines()[2:] == Path("/proc/net/dev").read_text().splitlines()[2:]
        or len(shared.splitlines()) >= 3
    )


@pytest.fixture
def without_namespaces() -> Iterator[None]:
    """Programs are run as on a system that refuses namespaces."""
    with contained("supervised"):
        yield


@pytest.mark.thorough
@pytest.mark.parametrize(("fault", "mode"), diagonal(["escape", "deaf", "daemon"], [*MODES]))
@pytest.mark.usefixtures("without_namespaces")
def test_without_namespaces_nothing_escapes_either(fault: str, mode: str) -> None:
    assert isolation() == "supervised"
    with closing(fakesim(fault, MODES[mode])) as box:
        run(box, [GOOD, BAD, BAD, GOOD])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no Python for all users")
def test_an_ordinary_user_is_as_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        folder = Path(place)
        folder.chmod(0o777)
        sources = Path("nondiff", "processes", "sandbox")
        shutil.copytree(spawner.SOURCES / sources, folder / sources)
        python = folder / "python"
        user = "--reuid=65534 --regid=65534 --clear-groups"
        python.write_text(f'#!/bin/sh\nexec setpriv {user} /usr/bin/python3 "$@"\n')
        python.chmod(0o755)

        def open_folder(prefix: str) -> str:
            made = folder / f"{prefix}{os.urandom(4).hex()}"
            made.mkdir()
            made.chmod(0o777)
            return str(made)

        monkeypatch.setattr(spawner, "SOURCES", folder)
        monkeypatch.setattr(spawner.sys, "executable", str(python))
        monkeypatch.setattr(launching.tempfile, "mkdtemp", open_folder)
        spawner._spawner.forget()
        try:
            level = isolation()
            assert run_once(["id", "-u"]).stdout.strip() == "65534"
            body = "setsid sh -c 'setsid sleep 600 & sleep 600' & sleep 600"
            assert failure("sh", "-c", body, limits=Limits(timeout=0.5)).kind == "timeout"
            if level in ("sandbox", "namespaces"):
                assert int(run_once(["sh", "-c", "echo $$"]).stdout) < 10
                assert run_once(["cat", "/proc/net/dev"]).stdout.count(":") == 1
            run_once(["true"], limits=Limits(network=True))
            assert not [p for p in folder.glob(FOLDERS) if any(p.iterdir())]
        finally:
            spawner._spawner.forget()


# ---- Persistent programs and pools


def test_an_answer_ends_at_its_last_line() -> None:
    with closing(PersistentProcess(["cat"])) as process:
        assert process.ask("a\nb\n  END \n", last="END") == "a\nb\n"
        assert process.ask("c\n") == "c"
        assert process.starts == 1


def test_requests_and_answers_of_any_length_pass() -> None:
    text = "x" * 3_000_000
    with closing(PersistentProcess(["cat"])) as process:
        assert process.ask(text + "\n") == text


def test_a_program_that_ended_between_requests_is_started_again() -> None:
    with closing(PersistentProcess(["head", "-n", "1"])) as process:
        for number in range(3):
            assert process.ask(f"{number}\n") == str(number)
            assert eventually(lambda: process._pipes and not process._pipes.is_idle())
        assert process.starts == 3


def test_an_object_that_is_dropped_ends_its_program(home: Path) -> None:
    process = PersistentProcess([sys.executable, str(FAKESIM), "lines", "hang", "2"])
    process.ask("0 0\n")
    assert started_in(home, str(FAKESIM))
    del process  # and the fixture looks for what is left


def test_a_pool_waits_for_several_at_once_and_keeps_the_order() -> None:
    gate = threading.Barrier(3, timeout=PATIENCE)

    def worker(row: int) -> int:
        if row < 3:
            gate.wait()
        if row == 4:
            raise CallFailed("timeout", "slow")
        return row * row

    pool: ThreadPool[int, int] = ThreadPool(lambda: worker, 3)
    *squares, failed, last = pool.map(range(6))
    pool.close()
    assert (squares, last) == ([0, 1, 4, 9], 25)
    assert isinstance(failed, CallFailed)
    assert pool.map([5]) == [25]  # it can be used again
    pool.close()


def test_calls_on_many_threads_are_not_mixed_up() -> None:
    pool: ThreadPool[int, str] = ThreadPool(
        lambda: lambda row: run_once(["echo", str(row)]).stdout, 4
    )
    assert pool.map(range(40)) == [f"{row}\n" for row in range(40)]
    pool.close()


def test_the_old_keyword_for_the_limit_of_failures_is_accepted() -> None:
    with closing(fakesim("exit", most_failures=3)) as box:
        failing = np.ones((4, 2))
        with pytest.raises(EnvironmentFailedError, match="3 calls of the program failed"):
            box.transition(np.zeros((4, 0)), failing)


@pytest.mark.parametrize("arguments", [{"size": 0}, {"max_failures": 0}])
def test_a_pool_of_nothing_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(InvalidOptionError):
        ThreadPool(lambda: str, **arguments)


@pytest.mark.thorough
@pytest.mark.parametrize("arguments", [{"timeout": 0.0}, {"memory": -1}, {"file_size": 0}])
def test_limits_must_leave_something(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=f"{next(iter(arguments))} must be above 0"):
        Limits(**arguments)


def test_the_time_of_programs_is_counted() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    assert run_once([sys.executable, "-c", burn]).cpu_seconds >= 0.2
    from nondiff.processes.cpu_time import cpu_seconds

    before = cpu_seconds()
    loop = "import sys, time\nfor line in sys.stdin:\n e = time.process_time() + 0.2\n"
    loop += " while time.process_time() < e: pass\n print(line, flush=True, end='')"
    with closing(PersistentProcess([sys.executable, "-c", loop])) as process:
        process.ask("a\n")
        process.ask("b\n")
        assert cpu_seconds() - before > 0.3
