"""Environments in processes of their own: the results of one process, and every way to break."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
import pytest
from conftest import SUPPORT
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from nondiff.agents.sb3.vec_envs.workers import WorkerVecEnv
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import EnvironmentFailedError, InvalidOptionError
from nondiff.gym.episode_record import EpisodeRecord
from nondiff.processes import env_worker as worker_module
from nondiff.processes.cpu_time import cpu_seconds
from nondiff.processes.env_worker import EnvironmentRaised, Worker, WorkerLost

LONG = 60.0  # s; no fault of a test takes so long
SHORT = 1.5  # s; where it is waited for, so that a busy machine may answer in time
ACTION = np.zeros(1, np.float32)


def breaks(fault: str = "raise", **arguments: Any) -> EnvRecipe:
    return EnvRecipe("faulty_envs:Breaks-v0", {"fault": fault, **arguments})


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def pids(vector: WorkerVecEnv) -> list[int]:
    return vector.env_method("pid")


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    """Starts workers, and ends those that are left."""
    started: list[Worker] = []

    def start(recipe: EnvRecipe, timeout: float = LONG, wrap: Any = None) -> Worker:
        started.append(Worker(recipe, timeout, wrap))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture
def vector() -> Iterator[Callable[..., WorkerVecEnv]]:
    """Makes vectors that note their reports, and closes them."""
    made: list[WorkerVecEnv] = []

    def make(
        recipe: EnvRecipe, count: int = 2, timeout: float = LONG, restarts: int = 3, **more: Any
    ) -> WorkerVecEnv:
        lines: list[str] = []
        made.append(WorkerVecEnv(recipe, count, timeout, restarts, lines.append, **more))
        made[-1].lines = lines
        return made[-1]

    yield make
    for each in made:
        each.close()


# The results of one process


def same(one: Any, other: Any) -> None:
    """Assert equality bit for bit, of nested containers too."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, np.ndarray | np.generic):
        np.testing.assert_array_equal(one, other, strict=True)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            same(mine, theirs)
    else:
        assert type(one) is type(other)
        assert one == other


def without_time(infos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for info in infos:
        if "episode" in info:
            assert info["episode"].pop("t") >= 0
    return infos


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("env_id", "steps"),
    [("nondiff/PandaReachDense-v0", 120), ("CartPole-v1", 120), ("Pendulum-v1", 420)],
)
def test_the_results_are_those_of_one_process(env_id: str, steps: int, vector: Any) -> None:
    recipe = EnvRecipe(env_id)
    workers = vector(recipe)
    serial = DummyVecEnv([lambda: Monitor(recipe.make())] * 2)
    for each in (workers, serial):
        each.seed(7)
    same(workers.reset(), serial.reset())
    workers.action_space.seed(1)
    episodes = 0
    for step in range(steps):
        actions = np.array([workers.action_space.sample() for _ in range(2)])
        mine, theirs = workers.step(actions), serial.step(actions)
        mine, theirs = ((*each[:3], without_time(each[3])) for each in (mine, theirs))
        same(mine, theirs)
        same(workers.reset_infos, serial.reset_infos)
        episodes += int(mine[2].sum())
        if step == steps // 2:  # resets that begin no run: no seed
            same(workers.reset(), serial.reset())
    assert episodes >= 4
    serial.close()


def test_an_episode_ends_terminated_or_truncated(vector: Any) -> None:
    workers = vector(breaks(horizon=2))
    first = workers.reset()
    workers.step(np.zeros((2, 1)))
    _, rewards, dones, infos = workers.step(np.zeros((2, 1)))
    assert (rewards.dtype, rewards.tolist()) == (np.dtype(np.float32), [2, 2])
    assert dones.tolist() == [True, True]
    for info in infos:
        assert info["TimeLimit.truncated"] is True
        assert info["terminal_observation"][:2].tolist() == [1, 2]
        assert info["episode"]["r"] == 3
        assert info["episode"]["l"] == 2
    assert first[:, :2].tolist() == [[1, 0], [1, 0]]  # not a buffer that the steps wrote to


def test_seeds_and_options_serve_once(vector: Any) -> None:
    workers = vector(breaks())
    workers.seed(5)
    workers.set_options({"goal": 1})
    workers.reset()
    assert [info["options"] for info in workers.reset_infos] == [{"goal": 1}] * 2
    workers.reset()
    assert [info["options"] for info in workers.reset_infos] == [None] * 2
    assert workers.get_attr("seeds") == [[5], [6]]


def test_a_pending_step_can_be_given_up(vector: Any) -> None:
    workers = vector(breaks())
    workers.reset()
    workers.step_async(np.zeros((2, 1)))
    assert workers.reset()[:, :2].tolist() == [[2, 0], [2, 0]]


def test_attributes_methods_and_images(vector: Any) -> None:
    workers = vector(breaks(render_mode="rgb_array"))
    assert workers.render_mode == "rgb_array"
    workers.reset()
    workers.step(np.zeros((2, 1)))
    assert [image.max() for image in workers.get_images()] == [1, 1]
    assert len(set(pids(workers))) == 2
    assert workers.env_method("pid", indices=1) == pids(workers)[1:]
    workers.set_attr("colour", "red", indices=[0])
    assert workers.get_attr("colour", 0) == ["red"]
    assert workers.has_attr("seeds")
    assert not workers.has_attr("colour")
    assert workers.env_is_wrapped(EpisodeRecord) == [True, True]
    assert workers.env_is_wrapped(gymnasium.wrappers.TimeLimit, indices=[1]) == [False]


def test_images_need_a_render_mode(vector: Any) -> None:
    workers = vector(breaks(), 1)
    with pytest.warns(UserWarning, match="not None"):
        assert workers.get_images() == [None]


# An environment that raises


def test_an_environment_that_raises_in_a_step_is_named(vector: Any) -> None:
    workers = vector(breaks(at=3, seed=11))
    workers.seed(10)
    workers.reset()
    workers.steps_before = 117
    with pytest.raises(EnvironmentFailedError) as failed:  # noqa: PT012
        for _ in range(3):
            workers.step(np.zeros((2, 1)))
    assert str(failed.value) == (
        "environment 1 raised ValueError: no such joint: left, at its step 120"
    )
    assert 'raise ValueError("no such joint' in failed.value.details
    assert workers.lines == []
    assert workers.reset().shape == (2, 3)  # and whoever wants to may go on


def test_an_environment_that_raises_in_a_reset_is_named(vector: Any) -> None:
    workers = vector(breaks(where="reset", at=2, seed=11))
    workers.seed(10)
    workers.reset()
    with pytest.raises(
        EnvironmentFailedError,
        match=r"^environment 1 raised ValueError.*, in a reset after its step 0$",
    ):
        workers.reset()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (breaks(where="make"), "environment 0 can't be made: faulty_envs:Breaks-v0 refuses the"),
        (EnvRecipe("CartPol-v1"), "environment 0 can't be made: unknown environment 'CartPol-v1'"),
        (breaks(where="make", fault="exit"), "environment 0 exited with code 3 while it was being"),
    ],
)
def test_an_environment_that_cant_be_made_is_one_error(recipe: EnvRecipe, message: str) -> None:
    before = psutil.Process().children()
    with pytest.raises(EnvironmentFailedError) as failed:
        WorkerVecEnv(recipe, 2, LONG, 3, print)
    assert str(failed.value).startswith(message)
    assert "\n" not in str(failed.value)
    assert {child.pid for child in psutil.Process().children()} - {c.pid for c in before} <= {
        tracker_pid()
    }


def tracker_pid() -> int | None:
    """The process by which Python's multiprocessing tracks resources; one, and it stays."""
    from multiprocessing import resource_tracker

    return resource_tracker._resource_tracker._pid


def test_what_cant_be_pickled_is_named(start: Any) -> None:
    worker = start(breaks("lock", at=1))
    worker.call("reset", 0, None)
    with pytest.raises(EnvironmentRaised) as raised:
        worker.call("step", ACTION)
    assert raised.value.summary.startswith("PicklingError: its answer to 'step' can't be sent: ")
    assert "lock" in raised.value.summary
    assert worker.call("step", ACTION)[1] == 2  # it still serves


def test_what_cant_be_unpickled_is_named(start: Any) -> None:
    worker = start(breaks("stranger", at=1))
    worker.call("reset", 0, None)
    with pytest.raises(EnvironmentRaised, match=r"^TypeError: its answer can't be unpickled"):
        worker.call("step", ACTION)
    assert worker.call("step", ACTION)[1] == 2


def test_an_environment_that_exits_has_raised(start: Any) -> None:
    worker = start(breaks("sys.exit", at=1))
    worker.call("reset", 0, None)
    with pytest.raises(EnvironmentRaised, match=r"for it called sys.exit, but 3"):
        worker.call("step", ACTION)


def test_what_cant_be_sent_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="CartPole-v1 can't be sent to a process"):
        Worker(EnvRecipe("CartPole-v1"), LONG, lambda env: env)


def test_an_unknown_attribute_is_named(vector: Any) -> None:
    workers = vector(breaks(), 1)
    with pytest.raises(EnvironmentFailedError, match="environment 0 raised AttributeError"):
        workers.get_attr("colour")


# An environment that dies or hangs


@pytest.mark.parametrize(
    ("fault", "timeout", "reason"),
    [
        ("kill", LONG, "was killed by SIGKILL"),
        ("exit", LONG, "exited with code 3"),
        ("sleep", SHORT, "did not answer within 1.5 s"),
        ("hang", SHORT, "did not answer within 1.5 s"),
    ],
)
def test_a_lost_episode_counts_as_truncated(
    fault: str, timeout: float, reason: str, vector: Any
) -> None:
    workers = vector(breaks(fault, at=3, seed=11), timeout=timeout)
    workers.seed(10)
    workers.reset()
    old = pids(workers)
    workers.step(np.zeros((2, 1)))
    before = workers.step(np.zeros((2, 1)))[0]
    observation, rewards, dones, infos = workers.step(np.zeros((2, 1)))
    assert rewards.tolist() == [3, 2]  # the other one's, and the one before the loss
    assert dones.tolist() == [False, True]
    assert infos[1].pop("terminal_observation").tolist() == before[1].tolist()
    assert infos[1] == {"TimeLimit.truncated": True, "worker_restarted": reason}
    assert observation[:, :2].tolist() == [[1, 3], [1, 0]]
    assert workers.lines == [
        f"environment 1 {reason} at its step 3: restarted (1 of 3), its episode counts as truncated"
    ]
    assert is_gone(old[1])
    assert pids(workers)[0] == old[0]
    assert workers.step(np.zeros((2, 1)))[1].tolist() == [4, 1]


@pytest.mark.thorough
def test_a_new_process_has_a_new_seed_which_a_repetition_repeats(vector: Any) -> None:
    seeds = []
    for _ in range(2):
        workers = vector(breaks("exit", at=2), 1, restarts=9)
        workers.seed(10)
        workers.reset()
        for _ in range(4):
            workers.step(np.zeros((1, 1)))
            seeds.extend(workers.get_attr("seeds")[0])
        workers.close()
    first, fresh, again, other = seeds[:4]
    assert first == 10
    assert fresh == again
    assert len({first, fresh, other}) == 3
    assert all(0 <= seed < 2**30 for seed in seeds)
    assert seeds[:4] == seeds[4:]


def test_a_loss_in_the_first_step_has_no_reward(vector: Any) -> None:
    workers = vector(breaks("exit", at=1, seed=11))
    workers.seed(10)
    first = workers.reset()
    _, rewards, dones, infos = workers.step(np.zeros((2, 1)))
    assert rewards.tolist() == [1, 0]
    assert dones.tolist() == [False, True]
    assert infos[1]["terminal_observation"].tolist() == first[1].tolist()


def test_a_reset_is_repeated_with_its_seed_and_options(tmp_path: Path, vector: Any) -> None:
    flag = str(tmp_path / "broke")
    workers = vector(breaks("exit", where="reset", at=1, flag=flag))
    workers.seed(10)
    workers.set_options({"goal": 1})
    workers.reset()
    assert workers.get_attr("seeds") == [[10], [11]]
    assert [info["options"] for info in workers.reset_infos] == [{"goal": 1}] * 2
    (line,) = workers.lines
    assert line.endswith("exited with code 3 in a reset after its step 0: restarted (1 of 3)")


def test_restarts_are_bounded(vector: Any) -> None:
    workers = vector(breaks("exit", at=1), 1, restarts=1)
    workers.reset()
    workers.step(np.zeros((1, 1)))
    with pytest.raises(EnvironmentFailedError) as failed:
        workers.step(np.zeros((1, 1)))
    assert str(failed.value) == (
        "environment 0 exited with code 3 at its step 2; worker_restarts = 1 allows no more of it"
    )
    assert len(workers.lines) == 1


def test_an_environment_that_never_gets_going_is_given_up(vector: Any) -> None:
    workers = vector(breaks("exit", where="reset", at=1), 1, restarts=2)
    with pytest.raises(EnvironmentFailedError, match="worker_restarts = 2"):
        workers.reset()
    assert len(workers.lines) == 2


def test_a_loss_in_another_call_is_an_error(vector: Any) -> None:
    workers = vector(breaks())
    with pytest.raises(EnvironmentFailedError) as failed:
        workers.env_method("fail", "exit", indices=1)
    assert str(failed.value) == (
        "environment 1 exited with code 3, asked for 'method' after its step 0"
    )


@pytest.mark.thorough
def test_a_worker_may_be_slower_to_start_than_to_answer(start: Any) -> None:
    assert start(breaks("nap", where="make"), SHORT).call("has_attribute", "reset")


@pytest.mark.thorough
def test_an_environment_may_hang_in_being_made(start: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(worker_module, "START_SECONDS", SHORT)
    worker = start(breaks("hang", where="make"), timeout=0.5)
    with pytest.raises(WorkerLost, match=r"^did not answer within 1.5 s while it was being made$"):
        worker.call("spaces")
    assert is_gone(worker.pid)
    with pytest.raises(WorkerLost, match="was closed"):
        worker.call("spaces")


@pytest.mark.thorough
def test_a_worker_that_stops_within_an_answer_hangs(start: Any) -> None:
    worker = start(breaks(size=500_000), SHORT)  # more than a pipe holds
    worker.call("spaces")
    worker.send("reset", 0, None)
    time.sleep(0.5)  # by now it waits for the rest of its answer to be read
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerLost, match="did not answer"):
        worker.receive()
    assert is_gone(worker.pid)


# Nothing is left


@pytest.mark.thorough
def test_close_ends_hung_dead_and_busy_workers(monkeypatch: Any) -> None:
    monkeypatch.setattr(worker_module, "CLOSE_SECONDS", 1.0)
    workers = WorkerVecEnv(breaks("hang", at=1, seed=11), 4, LONG, 3, print)
    workers.seed(10)
    workers.reset()
    numbers = pids(workers)
    os.kill(numbers[0], signal.SIGKILL)
    os.kill(numbers[3], signal.SIGSTOP)
    workers.step_async(np.zeros((4, 1)))
    workers.close()
    assert all(map(is_gone, numbers))
    workers.close()


def test_close_kills_one_that_wont_close(start: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(worker_module, "CLOSE_SECONDS", 1.0)
    worker = start(breaks("sleep", where="close"))
    worker.call("spaces")
    worker.close()
    assert is_gone(worker.pid)
    assert not worker.is_alive


def test_close_survives_an_environment_that_raises_in_it(start: Any, capfd: Any) -> None:
    worker = start(breaks("raise", where="close"))
    worker.call("spaces")
    worker.close()
    assert "no such joint" in capfd.readouterr().err


def started_by(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()]


@pytest.mark.thorough
@pytest.mark.parametrize("end", ["close", "hang", "exit", "kill", "collected"])
def test_what_an_environment_started_ends_with_it(end: str, tmp_path: Path, start: Any) -> None:
    child = tmp_path / "child"
    fault = end if end in ("hang", "exit", "kill") else "raise"
    recipe = breaks(fault, at=1, child=str(child))
    worker = Worker(recipe, SHORT if end == "hang" else LONG)
    worker.call("reset", 0, None)
    (sleeper,) = started_by(child)
    assert not is_gone(sleeper)
    if end == "close":
        worker.close()
    elif end == "collected":
        del worker
        gc.collect()
    else:
        with pytest.raises(WorkerLost):
            worker.call("step", ACTION)
    assert wait_for(lambda: is_gone(sleeper))


def test_what_an_environment_that_cant_be_made_started_ends(tmp_path: Path, start: Any) -> None:
    child = tmp_path / "child"
    worker = start(breaks(where="make", child=str(child)))
    with pytest.raises(EnvironmentRaised):
        worker.call("spaces")
    worker.close()
    assert wait_for(lambda: all(map(is_gone, started_by(child))))


def test_the_time_of_a_worker_is_counted_once(start: Any) -> None:
    worker = start(EnvRecipe("CartPole-v1"))
    worker.call("method", "reset", (), {})
    own = psutil.Process(worker.pid).cpu_times()
    before = cpu_seconds() - time.process_time()
    worker.close()
    worker.close()
    spent = cpu_seconds() - time.process_time() - before
    assert own.user + own.system <= spent + 0.02 < own.user + own.system + 5.0


def test_signals_to_a_worker_do_nothing(start: Any) -> None:
    worker = start(breaks(pause=0.5))
    os.kill(worker.pid, signal.SIGINT)  # as it starts
    os.kill(worker.pid, signal.SIGTERM)
    worker.call("reset", 0, None)
    worker.send("step", ACTION)
    for _ in range(3):
        os.kill(worker.pid, signal.SIGINT)
        os.kill(worker.pid, signal.SIGTERM)
        time.sleep(0.05)
    assert worker.receive()[1] == 1
    os.kill(worker.pid, signal.SIGINT)  # as it waits
    assert worker.call("step", ACTION)[1] == 2
    inherited = worker.call("method", "children_of_signals", (), {})
    blocked, ignored = (int(line.split()[1], 16) for line in inherited)
    for number in (signal.SIGINT, signal.SIGTERM):
        assert not (blocked | ignored) >> (number - 1) & 1


@pytest.mark.thorough
def test_nothing_leaks(tmp_path: Path) -> None:
    def count() -> tuple[int, set[int]]:
        gc.collect()
        children = {child.pid for child in psutil.Process().children(recursive=True)}
        return len(list(Path("/proc/self/fd").iterdir())), children

    def use(fault: str) -> None:
        workers = WorkerVecEnv(breaks(fault, at=1), 1, LONG, 1, print)
        workers.reset()
        workers.step_async(np.zeros((1, 1)))
        if fault == "exit":
            workers.step_wait()
        workers.close()

    use("exit")
    before = count()
    for turn in range(8):
        use("exit" if turn % 4 == 0 else "raise")
    assert count() == before


# What becomes of workers when the process that uses them stops, ends or is killed

PARENT = """
import sys, threading
import numpy as np
from nondiff.env_recipe import EnvRecipe
from nondiff.processes.env_worker import Worker

def say(word):
    print(word, flush=True)

def use(doing, timeout, recipe):
    workers = [Worker(recipe, timeout) for _ in range(2)]
    if doing == "starting":
        say("step")
    for worker in workers:
        worker.call("reset", 0, None)
    while doing not in ("idle", "ending"):
        for worker in workers:
            worker.send("step", np.zeros(1, np.float32))
        say("step")
        for worker in workers:
            worker.receive()
    say("step")
    return workers

if __name__ == "__main__":
    _, doing, timeout, arguments = sys.argv
    recipe = EnvRecipe("faulty_envs:Breaks-v0", eval(arguments))
    workers = []
    run = lambda: workers.extend(use(doing, float(timeout), recipe))
    if doing == "ending":
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        for worker in workers:
            worker.call("reset", 0, None)  # though the thread that started it is gone
        say("served")
    else:
        run()
        input()
"""


@contextmanager
def parent(recipe: EnvRecipe, doing: str, folder: Path, timeout: float = LONG) -> Iterator[Any]:
    """A process with two workers that says "step" before each step."""
    script = folder / "parent.py"
    script.write_text(PARENT)
    process = subprocess.Popen(
        [sys.executable, script, doing, str(timeout), repr(dict(recipe.arguments))],
        env=os.environ | {"PYTHONPATH": str(SUPPORT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def family(process: Any) -> list[psutil.Process]:
    root = psutil.Process(process.pid)
    return [root, *root.children(recursive=True)]


@pytest.mark.thorough
def test_a_stop_of_all_is_no_hang(tmp_path: Path) -> None:
    with parent(breaks(pause=0.5), "stepping", tmp_path, timeout=2.0) as process:
        assert process.stdout.readline() == "step\n"
        everybody = family(process)
        for each in everybody:
            each.suspend()
        time.sleep(2.5)
        for each in everybody:
            each.resume()
        # Each is said after the steps before it were received.
        assert [process.stdout.readline() for _ in range(2)] == ["step\n"] * 2


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("doing", "arguments"),
    [
        ("starting", {}),
        ("idle", {}),
        ("stepping", {"pause": 0.05}),
        ("hung", {"fault": "hang", "at": 1}),
    ],
)
def test_no_worker_outlives_a_killed_parent(doing: str, arguments: Any, tmp_path: Path) -> None:
    with parent(breaks(**arguments), doing, tmp_path) as process:
        assert process.stdout.readline() == "step\n"
        everybody = family(process)
        assert len(everybody) >= 3
        process.kill()
        assert wait_for(lambda: all(is_gone(each.pid) for each in everybody))


def test_a_parent_that_forgets_its_workers_ends(tmp_path: Path) -> None:
    with parent(breaks(), "ending", tmp_path) as process:
        assert process.stdout.readline() == "step\n"
        everybody = family(process)
        assert process.wait(20) == 0
        assert process.stdout.read() == "served\n"
        assert wait_for(lambda: all(is_gone(each.pid) for each in everybody))


def test_importing_a_worker_loads_no_learning_library() -> None:
    code = (
        "import sys, nondiff.processes.env_worker\n"
        "print({'torch', 'stable_baselines3'} & {*sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
