"""The game: what it shows, and what becomes of its engine's faults, against ViZDoom itself."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
import pytest
from PIL import Image
from thorough_cases import thin

from nondiff import PPO
from nondiff.envs.doom import engine, launch
from nondiff.envs.doom.env import MAX_LOSSES, DoomEnv, doom_basic, doom_defend_the_center
from nondiff.envs.doom.frames import HEIGHT, WIDTH, reduced
from nondiff.errors import (
    EnvironmentFailedError,
    InvalidActionError,
    InvalidOptionError,
    MissingDependencyError,
)
from nondiff.experiments.commands.train import TrainOptions, train

WAIT, LEFT, RIGHT, ATTACK = range(4)
TIMEOUT = 1.0  # [s], of an engine that is made to hang
PATIENCE = 30.0  # [s], on a busy machine
Make = Callable[..., DoomEnv]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes environments in an empty current folder; nothing may be left when they are closed."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    made: list[DoomEnv] = []

    def make_one(kind: Callable[..., DoomEnv] = doom_basic, **arguments: Any) -> DoomEnv:
        made.append(kind(**arguments))
        return made[-1]

    yield make_one
    pids = [pid for env in made for pid in env.engine_pids]
    for env in made:
        env.close()
        env.close()
    wait_for(lambda: not any(runs(pid) for pid in pids))
    assert list(here.iterdir()) == []
    assert leftovers(os.getpid()) == []


def runs(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def leftovers(owner: int) -> list[Path]:
    """Folders of a process's engines."""
    return list(Path(tempfile.gettempdir()).glob(f"nondiff-doom-{owner}-*"))


def shared_memory(pid: int) -> list[str]:
    """What an engine shares, as the system lists it; what has no name any more is "(deleted)"."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [line for line in maps if "ViZDoom" in line and "/dev/shm" in line]


# The game


def play_out(env: DoomEnv, action: int, seed: int = 0) -> tuple[list[float], bool, dict[str, Any]]:
    env.reset(seed=seed)
    rewards, ended = [], False
    while not ended:
        _, reward, terminated, truncated, info = env.step(np.int64(action))
        rewards.append(reward)
        ended = terminated or truncated
    return rewards, terminated, info


def test_basic_costs_one_a_tic_and_is_over_after_300(make: Make) -> None:
    rewards, terminated, info = play_out(make(), WAIT)
    assert rewards == [-2.0] * 150
    assert not terminated
    assert info == {
        "kills": 0.0,
        "ammo": 50.0,
        "health": 100.0,
        "tics": 300,
        "engine_lost": False,
        "failed": False,
    }


def test_time_is_over_after_300_tics_whatever_is_skipped(make: Make) -> None:
    rewards, _, info = play_out(make(frame_skip=7), WAIT)
    assert rewards == [-7.0] * 42 + [-6.0]
    assert info["tics"] == 300


def test_a_shot_in_basic_costs_five_and_the_kill_gives_106(make: Make) -> None:
    env = make(frame_skip=1)
    for seed in range(20):  # until the monster happens to stand straight ahead
        rewards, terminated, info = play_out(env, ATTACK, seed)
        shots = rewards.count(-6.0) + rewards.count(100.0)
        assert set(rewards) <= {-1.0, -6.0, 105.0, 100.0}
        if terminated:
            assert info["kills"] == 1
            assert max(rewards) >= 100
            assert sum(rewards) == 106 - 5 * shots - len(rewards)
            return
        assert shots > 10
        assert info["ammo"] == 50 - shots
    pytest.fail("no shot hit")


def test_defending_the_center_counts_kills_and_death(make: Make) -> None:
    env = make(doom_defend_the_center)
    env.action_space.seed(0)
    env.reset(seed=0)
    total, terminated = 0.0, False
    while not terminated:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        total += reward
        assert not truncated
    assert info["health"] <= 0
    assert total == info["kills"] - 1


def test_moving_left_moves_the_picture_to_the_right(make: Make) -> None:
    env = make()
    before = env.reset(seed=0)[0][-1]
    left = env.step(np.int64(LEFT))[0][-1]
    env.reset(seed=0)
    right = env.step(np.int64(RIGHT))[0][-1]
    assert not np.array_equal(left, before)
    assert not np.array_equal(left, right)


# Observations


def test_a_stack_holds_the_last_screens_the_newest_last(make: Make) -> None:
    env = make(frame_stack=3)
    first, _ = env.reset(seed=0)
    assert first.shape == (3, HEIGHT, WIDTH) == env.observation_space.shape
    assert np.array_equal(first[0], first[1])
    assert np.array_equal(first[1], first[2])
    newest = [first[-1]]
    for action in (LEFT, ATTACK, RIGHT, LEFT):
        observation = env.step(np.int64(action))[0]
        newest.append(observation[-1])
        assert np.array_equal(observation, np.stack(([newest[0]] * 2 + newest)[-3:]))


def test_skipping_four_is_holding_the_buttons_for_four(make: Make) -> None:
    held, skipped = make(frame_skip=1, frame_stack=1), make(frame_skip=4, frame_stack=1)
    held.reset(seed=3)
    skipped.reset(seed=3)
    for action in (LEFT, LEFT, ATTACK, RIGHT, ATTACK):
        each = [held.step(np.int64(action)) for _ in range(4)]
        observation, reward, *_ = skipped.step(np.int64(action))
        assert np.array_equal(observation, each[-1][0])
        assert reward == sum(step[1] for step in each)


def test_screens_are_averaged_over_areas() -> None:
    screen = np.zeros((120, 160), np.uint8)
    screen[:, :80] = 200
    small = reduced(screen)
    assert small.shape == (HEIGHT, WIDTH)
    assert (small[:, : WIDTH // 2 - 1] == 200).all()
    assert (small[:, WIDTH // 2 + 1 :] == 0).all()


def test_episodes_depend_on_the_seed_to_the_last_pixel_whatever_came_before(make: Make) -> None:
    # The swing of the weapon went on from episode to episode before it was turned off.
    env = make()

    def signed() -> list[bytes]:
        observations = [env.reset(seed=1)[0]]
        rng = np.random.default_rng(1)
        ended = False
        while not ended and len(observations) < 60:
            observation, _, terminated, truncated, _ = env.step(rng.integers(4))
            observations.append(observation)
            ended = terminated or truncated
        return [observation.tobytes() for observation in observations]

    expected = signed()
    for steps in (1, 3, 40):
        env.reset(seed=100 + steps)
        for action in ([LEFT, ATTACK] * 20)[:steps]:
            if env.step(np.int64(action))[2]:
                break
        assert signed() == expected


# Pictures


def test_pictures_are_in_colour_and_show_what_is_observed(make: Make) -> None:
    plain, pictured = make(), make(render_mode="rgb_array")
    assert np.array_equal(plain.reset(seed=0)[0], pictured.reset(seed=0)[0])
    for action in (LEFT, LEFT, ATTACK, RIGHT):
        observation = plain.step(np.int64(action))[0]
        assert np.array_equal(observation, pictured.step(np.int64(action))[0])
        picture = pictured.render()
        assert picture.shape == (480, 640, 3)
        assert np.ptp(picture.astype(int), axis=2).max() > 30
        grey = np.asarray(Image.fromarray(picture).convert("L").resize((WIDTH, HEIGHT)))
        agreement = np.corrcoef(grey.ravel(), observation[-1].ravel())[0, 1]
        assert agreement > 0.9


def test_films_have_a_picture_a_tic(make: Make) -> None:
    env = make(render_mode="rgb_array_list")
    env.reset(seed=0)
    assert len(env.render()) == 1
    env.step(np.int64(LEFT))
    assert len(env.render()) == 2 == env.metadata["frames_per_step"]
    assert env.render() == []


def test_the_rate_of_steps_follows_the_frames_skipped(make: Make) -> None:
    assert make(frame_skip=5).metadata["render_fps"] == 7


HUMAN = """
import gymnasium
env = gymnasium.make("nondiff:nondiff/DoomBasic-v0", render_mode="human")
env.reset(seed=0)
for _ in range(3):
    observation = env.step(1)[0]
assert env.render() is None
env.close()
print(observation.tobytes().hex())
"""


@pytest.mark.thorough
@pytest.mark.skipif(
    shutil.which("xvfb-run") is None, reason="xvfb-run is not installed: no display for a window"
)
def test_a_window_shows_the_same_game(make: Make) -> None:
    command = ["xvfb-run", "-a", sys.executable, "-W", "error", "-c", HUMAN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    env = make()
    env.reset(seed=0)
    for _ in range(3):
        observation = env.step(np.int64(LEFT))[0]
    assert done.stdout.split() == [observation.tobytes().hex()]


@pytest.mark.skipif(sys.platform != "linux", reason="only X11 needs DISPLAY")
def test_a_window_needs_a_display(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(MissingDependencyError, match="rgb_array"):
        make(render_mode="human")


# Mistakes


@pytest.mark.parametrize(
    "action", [-1, 6, 1.0, np.nan, np.float32(1), None, "left", [1], np.array([1]), np.array(2.5)]
)
def test_an_action_that_is_none_is_refused_by_its_value(make: Make, action: Any) -> None:
    env = make()
    env.reset(seed=0)
    with pytest.raises(InvalidActionError) as error:
        env.step(action)
    assert repr(action) in str(error.value)
    assert "0 wait, 1 left, 2 right, 3 attack" in str(error.value)
    env.step(np.array(LEFT))  # as policies answer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frame_skip": 0}, "frame_skip must be a whole number from 1 to 32, not 0"),
        ({"frame_skip": 2.0}, "not 2.0"),
        ({"frame_stack": True}, "frame_stack must be .* not True"),
        ({"frame_stack": 33}, "not 33"),
        (
            {"engine_timeout": float("nan")},
            r"a number from 0.001 to 1e\+06 s, not nan",
        ),
        ({"engine_timeout": -1}, "not -1"),
        ({"render_mode": "ascii"}, "choose from human, rgb_array, rgb_array_list or None"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Make, arguments: Any, message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        make(**arguments)


def test_a_missing_vizdoom_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'nondiff\[doom\]'"):
        make()


def test_a_step_needs_an_episode(make: Make) -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        make().step(np.int64(LEFT))


# The engine's faults


def test_nothing_is_written_into_the_current_folder(make: Make) -> None:
    env = make()  # the fixture looks for files
    env.reset(seed=0)
    assert leftovers(os.getpid()) == []
    assert all(runs(pid) for pid in env.engine_pids)


def test_a_file_that_would_change_the_game_is_refused(make: Make) -> None:
    override = Path("_vizdoom.cfg")
    override.write_text("living_reward = 7\n")
    try:
        with pytest.raises(InvalidOptionError, match="would change the game"):
            make().reset(seed=0)
    finally:
        override.unlink()


def test_an_engine_is_gone_with_the_environment_that_is_forgotten() -> None:
    env = doom_basic()
    env.reset(seed=0)
    (pid,) = env.engine_pids
    del env
    gc.collect()
    wait_for(lambda: not runs(pid))


OWNER = """
import os, sys, time
import nondiff.envs.doom.env as doom
envs = [doom.doom_basic(), doom.doom_defend_the_center(render_mode="rgb_array")]
for env in envs:
    env.reset(seed=0)
print(*[pid for env in envs for pid in env.engine_pids], flush=True)
if "stay" in sys.argv:
    time.sleep(600)
"""


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, None])
def test_engines_end_with_their_owner_and_leave_nothing(
    tmp_path: Path, number: signal.Signals | None
) -> None:
    command = [sys.executable, "-c", OWNER, *(["stay"] if number else [])]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 3
        for pid in pids if number else []:
            assert shared_memory(pid)
            assert all(line.endswith("(deleted)") for line in shared_memory(pid))
        if number:
            owner.send_signal(number)
        owner.wait(PATIENCE)
    wait_for(lambda: not any(runs(pid) for pid in pids))
    assert list(tmp_path.iterdir()) == []
    assert leftovers(owner.pid) == []


def test_what_an_owner_left_that_was_killed_in_a_start_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    stale = tmp_path / f"nondiff-doom-{gone.pid}-abc"
    ours = tmp_path / f"nondiff-doom-{os.getpid()}-abc"
    for folder in (stale, ours):
        folder.mkdir()
    launch.remove_leftovers()
    assert list(tmp_path.iterdir()) == [ours]


def test_a_killed_engine_ends_the_episode_and_the_next_has_another(make: Make) -> None:
    env = make()
    env.reset(seed=0)
    last = env.step(np.int64(LEFT))[0]
    (pid,) = env.engine_pids
    os.kill(pid, signal.SIGKILL)
    observation, reward, terminated, truncated, info = env.step(np.int64(LEFT))
    assert np.array_equal(observation, last)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["engine_lost"]
    assert info["failed"]
    _, info = env.reset()
    assert not info["engine_lost"]
    assert env.engine_pids != [pid]
    assert not env.step(np.int64(LEFT))[4]["engine_lost"]


@pytest.mark.thorough
def test_an_engine_killed_at_any_moment_holds_nothing_up(make: Make) -> None:
    # One that dies while it holds ViZDoom's lock would leave the call waiting for ever.
    env = make(engine_timeout=TIMEOUT)
    rng = np.random.default_rng(0)
    for _ in range(6):
        env.reset()
        env.step(np.int64(LEFT))
        kill = threading.Timer(0.02 * rng.random(), os.kill, (env.engine_pids[0], signal.SIGKILL))
        kill.start()
        lost = False
        while not lost:
            _, _, terminated, truncated, info = env.step(rng.integers(6))
            lost = info["engine_lost"]
            if terminated or (truncated and not lost):
                kill.join()
                env.reset()
                break
        kill.join()


@pytest.mark.thorough
@pytest.mark.parametrize("pictured", [False, True])
def test_a_hung_engine_is_killed_in_time(make: Make, pictured: bool) -> None:
    env = make(engine_timeout=TIMEOUT, render_mode="rgb_array" if pictured else None)
    env.reset(seed=0)
    env.step(np.int64(LEFT))
    pids = env.engine_pids
    os.kill(pids[-1], signal.SIGSTOP)
    _, _, terminated, truncated, info = env.step(np.int64(LEFT))
    assert (terminated, truncated, info["engine_lost"]) == (False, True, True)
    wait_for(lambda: not any(runs(pid) for pid in pids))


@pytest.mark.thorough
def test_a_reset_survives_a_hung_engine_and_a_close_too(make: Make) -> None:
    env = make(engine_timeout=TIMEOUT)
    expected = env.reset(seed=5)[0]
    env.step(np.int64(LEFT))
    os.kill(env.engine_pids[0], signal.SIGSTOP)
    assert np.array_equal(env.reset(seed=5)[0], expected)
    (pid,) = env.engine_pids
    os.kill(pid, signal.SIGSTOP)
    env.close()
    wait_for(lambda: not runs(pid))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("program", "message"), [("/bin/false", "did not start"), ("/missing", "No such file")]
)
def test_engines_that_never_start_are_one_clear_error(
    make: Make, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    # ViZDoom itself crashes the process, with a segmentation fault.
    original = launch.Launch.__init__
    monkeypatch.setattr(launch.Launch, "__init__", lambda self, _: original(self, Path(program)))
    with pytest.raises(EnvironmentFailedError, match=message) as error:
        make().reset(seed=0)
    assert f"{MAX_LOSSES} engines of basic.cfg were lost in a row" in str(error.value)


@pytest.mark.thorough
def test_an_engine_that_hangs_in_its_start_is_one_clear_error(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "hangs"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr(engine, "START_SECONDS", 0.5)
    original = launch.Launch.__init__
    monkeypatch.setattr(launch.Launch, "__init__", lambda self, _: original(self, program))
    with pytest.raises(EnvironmentFailedError, match="did not start"):
        make(engine_timeout=0.5).reset(seed=0)
    wait_for(lambda: "sleep" not in [child.name() for child in psutil.Process().children(True)])


def test_a_folder_without_programs_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(MissingDependencyError, match="set TMPDIR"):
        make().reset(seed=0)


def test_a_forked_process_leaves_the_engine_alone(make: Make) -> None:
    env = make()
    env.reset(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads: so there are
        child = os.fork()
    if child == 0:
        env.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not env.step(np.int64(LEFT))[4]["engine_lost"]


def test_engines_lost_in_a_row_end_in_one_error(make: Make) -> None:
    env = make()
    env.reset(seed=0)
    for _ in range(MAX_LOSSES - 1):
        os.kill(env.engine_pids[0], signal.SIGKILL)
        assert env.step(np.int64(LEFT))[4]["engine_lost"]
        env.reset()
    os.kill(env.engine_pids[0], signal.SIGKILL)
    with pytest.raises(EnvironmentFailedError, match=r"3 engines of .* were lost in a row"):
        env.step(np.int64(LEFT))


# Training


@pytest.mark.parametrize("vec_env", thin(["serial", "processes"], ["processes"]))
def test_training_goes_on_when_engines_are_killed(tmp_path: Path, vec_env: Any) -> None:
    killed: list[int] = []
    stop = threading.Event()

    def kill_two_engines() -> None:
        while not stop.wait(0.1) and len(killed) < 2:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if process.name() == "vizdoom" and process.pid not in killed:
                        process.kill()
                        killed.append(process.pid)
                        break

    thread = threading.Thread(target=kill_two_engines)
    thread.start()
    try:
        options = TrainOptions(
            env="nondiff/DoomBasic-v0",
            budget=256,
            runs=tmp_path,
            name="doom",
            eval_every=256,
            eval_episodes=1,
            held_out_episodes=1,
            checkpoint_every=128,
        )
        run = train(
            options, PPO(num_envs=2, n_steps=32, batch_size=32, n_epochs=1, vec_env=vec_env)
        )
    finally:
        stop.set()
        thread.join()
    assert len(killed) == 2
    assert run.state.steps == 256
    assert run.state.result.episodes == 1
    assert "CnnPolicy" in (run.model_folder("best") / "model.json").read_text()


def test_plain_stable_baselines3_trains_on_it() -> None:
    from stable_baselines3 import ppo

    with closing(gymnasium.make("nondiff:nondiff/DoomDefendTheCenter-v0")) as env:
        model = ppo.PPO("CnnPolicy", env, n_steps=64, batch_size=32, n_epochs=1, device="cpu")
        model.learn(128)
        assert model.predict(env.reset(seed=0)[0])[0] in env.action_space
