"""Vector environments over shared memory: the bits of one environment alone, and nothing left."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
import pytest
import torch
from conftest import SUPPORT
from faulty_envs import Breaks
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode
from processes import hear_ctrl_c
from stable_baselines3 import PPO, SAC, HerReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv
from test_workers import is_gone, same, tracker_pid, wait_for, without_time
from watcher import trained

from nondiff.agents import find_strategy
from nondiff.agents.sb3.vec_envs.batched import BatchedVecEnv
from nondiff.env_recipe import EnvRecipe
from nondiff.envs import ENVIRONMENTS
from nondiff.envs.arm.suite import panda_push
from nondiff.errors import EnvironmentFailedError, InvalidActionError, InvalidOptionError
from nondiff.gym.episode_record import EpisodeRecord
from nondiff.processes.vector_env import ParallelVectorEnv
from nondiff.processes.vector_env.worker_pool import shares_of

torch.set_num_threads(1)

LONG = 60.0  # s; no fault of a test takes so long
Make = Callable[..., ParallelVectorEnv]


@pytest.fixture
def vector() -> Iterator[Make]:
    """Makes vectors of environments that can break, and closes them."""
    made: list[ParallelVectorEnv] = []

    def make(num_envs: int = 3, timeout: float = LONG, **arguments: Any) -> ParallelVectorEnv:
        made.append(ParallelVectorEnv(Breaks, num_envs, processes=2, timeout=timeout, **arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def push() -> Iterator[Any]:
    """PandaPush three times in two processes, as `gymnasium.make_vec` makes it; a short horizon."""
    vector = gymnasium.make_vec("nondiff/PandaPush-v0", 3, processes=2, horizon=10)
    yield vector
    vector.close()


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()} - {tracker_pid()}


def rows(batch: Any, number: int) -> Any:
    if isinstance(batch, dict):
        return {key: part[number] for key, part in batch.items() if not key.startswith("_")}
    return batch[number]


# The bits of each environment alone


def test_each_environment_gives_what_it_gives_alone(push: ParallelVectorEnv) -> None:
    alone = [panda_push(reward_type="sparse", horizon=10) for _ in range(3)]
    first, info = push.reset(seed=7)
    for number, env in enumerate(alone):
        same((rows(first, number), rows(info, number)), env.reset(seed=7 + number))
    push.action_space.seed(1)
    ends = 0
    for _ in range(25):
        actions = push.action_space.sample()
        observation, reward, terminated, truncated, info = push.step(actions)
        for number, env in enumerate(alone):
            now, gain, *ended, own = env.step(actions[number])
            assert [reward[number], terminated[number], truncated[number]] == [gain, *ended]
            if any(ended):
                ends += 1
                same(rows(info["final_obs"], number), now)
                same(rows(info["final_info"], number), own)
                now, own = env.reset()
            assert info.get("_final_obs", [False] * 3)[number] == any(ended)
            same(rows(observation, number), now)
            assert {key: info[key][number] for key in own} == own
    assert ends >= 6
    for env in alone:
        env.close()


def test_observations_that_were_returned_stay(push: ParallelVectorEnv) -> None:
    first, _ = push.reset(seed=1)
    kept = {key: part.copy() for key, part in first.items()}
    push.step(np.ones(push.action_space.shape, np.float32))
    same(first, kept)


def test_it_declares_what_gymnasium_asks_for(push: ParallelVectorEnv) -> None:
    assert push.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert push.metadata["render_fps"] == 25
    assert push.num_envs == 3
    assert push.reset(seed=0)[0] in push.observation_space
    assert len(set(push.call("_horizon"))) == 1


def test_every_arm_environment_has_a_vectorised_form() -> None:
    for env_id, (entry_point, _) in ENVIRONMENTS.items():
        if entry_point.startswith("nondiff.envs.arm."):
            made = load_env_creator(gymnasium.spec(env_id).vector_entry_point)
            assert made.args == (load_env_creator(entry_point),)


# Stable-Baselines3


def test_stable_baselines3_gets_what_one_process_gives(push: ParallelVectorEnv) -> None:
    batched = BatchedVecEnv(push)
    recipe = EnvRecipe("nondiff/PandaPush-v0", {"horizon": 10})
    serial = DummyVecEnv([lambda: EpisodeRecord(recipe.make())] * 3)
    for each in (batched, serial):
        each.seed(5)
    same(batched.reset(), serial.reset())
    batched.action_space.seed(1)
    for _ in range(22):
        actions = np.array([batched.action_space.sample() for _ in range(3)])
        mine, theirs = batched.step(actions), serial.step(actions)
        for one, other in zip(without_time(mine[3]), without_time(theirs[3]), strict=True):
            assert one.keys() == other.keys()
            same(one.pop("terminal_observation", None), other.pop("terminal_observation", None))
            assert one == other
        same(mine[:3], theirs[:3])
        assert batched.reset_infos == serial.reset_infos
    serial.close()


def test_goals_are_relabelled_with_the_rewards_of_the_environment(push: ParallelVectorEnv) -> None:
    env = panda_push(reward_type="sparse")
    rng = np.random.default_rng(0)
    goals = rng.normal(0, 0.04, (2, 50, 3)).astype(np.float32)
    rewards = push.compute_reward(*goals, [{}] * 50)
    same(rewards, env.compute_reward(*goals, [{}] * 50))
    assert set(rewards) == {-1, 0}
    env.close()


@pytest.mark.thorough
def test_hindsight_trains_on_it(push: ParallelVectorEnv) -> None:
    model = SAC(
        "MultiInputPolicy",
        BatchedVecEnv(push),
        replay_buffer_class=HerReplayBuffer,
        policy_kwargs={"net_arch": [8]},
        learning_starts=40,
        batch_size=16,
        seed=0,
    ).learn(60)
    buffer = model.replay_buffer
    assert isinstance(buffer, HerReplayBuffer)
    sample = buffer.sample(64)
    assert sample.rewards.shape == (64, 1)


def test_training_by_one_call_gives_the_bits_of_training_in_this_process() -> None:
    strategy = find_strategy("ppo")(num_envs=2, n_steps=16, batch_size=16, n_epochs=1)
    found = [
        trained(
            dataclasses.replace(strategy, vec_env=kind), "nondiff/PandaReachDense-v0", 64
        ).tensors()
        for kind in ("serial", "batched")
    ]
    assert all(torch.equal(found[0][key], value) for key, value in found[1].items())


# What breaks, and what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "num_envs must be a positive whole number, not 0"),
        ({"num_envs": 2.0}, "num_envs must be a positive whole number"),
        ({"processes": 0}, "from 1 to 2, not 0"),
        ({"processes": 3}, "from 1 to 2, not 3"),
        ({"timeout": 0}, "timeout must be a positive number"),
        ({"apart": 1}, "apart must be true or false, not 1"),
        ({"horizon": 0}, "horizon must be a positive whole number"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    before = children()
    with pytest.raises(InvalidOptionError, match=message):
        gymnasium.make_vec("nondiff/PandaReach-v0", **{"num_envs": 2, **arguments})
    assert children() <= before


def test_what_cant_be_pickled_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="the environment can't be sent to a process"):
        ParallelVectorEnv(lambda: Breaks(), 1)


def test_spaces_that_are_no_arrays_are_refused() -> None:
    with pytest.raises(InvalidOptionError, match="Sequence spaces can't be shared"):
        ParallelVectorEnv(partial(WithoutArrays))


class WithoutArrays(gymnasium.Env):
    observation_space = gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2))
    action_space = gymnasium.spaces.Discrete(2)


def test_bad_actions_are_refused_before_any_is_done(vector: Make) -> None:
    breaks = vector()
    breaks.reset(seed=0)
    bad = [np.zeros((2, 1)), np.full((3, 1), np.nan), np.full((3, 1), "up"), [[1], [1, 2], [1]]]
    for actions in bad:
        with pytest.raises(InvalidActionError, match="actions"):
            breaks.step(actions)
    assert breaks.step(np.zeros((3, 1)))[0][:, 1].tolist() == [1, 1, 1]


def test_seeds_are_one_each(vector: Make) -> None:
    breaks = vector()
    breaks.reset(seed=[4, None, 9])
    assert breaks.call("seeds") == ([4], [], [9])
    with pytest.raises(InvalidOptionError, match="2 seeds do not fit num_envs = 3"):
        breaks.reset(seed=[1, 2])


def test_shares_differ_by_one() -> None:
    assert shares_of(7, 3) == [range(2), range(2, 4), range(4, 7)]
    assert len(shares_of(64, None)) == min(64, len(os.sched_getaffinity(0)))


def test_processes_are_kept_apart(vector: Make) -> None:
    mine = os.sched_getaffinity(0)
    if len(mine) < 2:
        pytest.skip("needs two processors")
    one, other = (os.sched_getaffinity(pid) for pid in set(vector().call("pid")))
    assert one
    assert other
    assert not one & other
    assert one | other == mine == os.sched_getaffinity(0)
    together = set(vector(apart=False).call("pid"))
    assert [os.sched_getaffinity(pid) for pid in together] == [mine, mine]


def test_processes_are_left_alone_where_processors_are_too_few(vector: Make) -> None:
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mine)})
        pids = vector(2).call("pid")
        assert [os.sched_getaffinity(pid) for pid in pids] == [{min(mine)}] * 2
    finally:
        os.sched_setaffinity(0, mine)


def test_an_environment_that_raises_is_named(vector: Make) -> None:
    breaks = vector(at=2, seed=12)
    breaks.reset(seed=10)
    breaks.step(np.zeros((3, 1)))
    with pytest.raises(EnvironmentFailedError, match=r"^environment 2 raised ValueError: no such"):
        breaks.step(np.zeros((3, 1)))
    assert breaks.reset()[0][:, 1].tolist() == [0, 0, 0]  # whoever wants to may go on
    batched = BatchedVecEnv(vector(at=1, seed=1))
    batched.seed(0)
    batched.reset()
    batched.steps = 30
    with pytest.raises(EnvironmentFailedError, match=r"^environment 1 .* left, at their step 31$"):
        batched.step(np.zeros((3, 1)))


def test_an_environment_that_cant_be_made_is_one_error(tmp_path: Path, vector: Make) -> None:
    flag = tmp_path / "broke"
    with pytest.raises(ValueError, match="no such joint"):  # as it is made to learn of its spaces
        vector(where="make")
    flag.touch()
    breaks = vector(where="make", flag=str(flag), num_envs=2)
    flag.unlink()  # one of the processes finds none
    with pytest.raises(EnvironmentFailedError, match=r"^environment \d can't be made: ValueError"):
        breaks.reset()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fault", "timeout", "reason"),
    [("kill", LONG, "was killed by SIGKILL"), ("hang", 1.5, "did not answer within 1.5 s")],
)
def test_a_lost_process_is_one_error(fault: str, timeout: float, reason: str, vector: Make) -> None:
    breaks = vector(4, timeout, fault=fault, at=2, seed=13)
    breaks.reset(seed=10)
    breaks.step(np.zeros((4, 1)))
    for expected in (reason, "was closed"):
        with pytest.raises(
            EnvironmentFailedError, match=f"^the process of environments 2 to 3 {expected}$"
        ):
            breaks.step(np.zeros((4, 1)))


def test_an_interrupted_step_leaves_the_next_one_right(vector: Make, monkeypatch: Any) -> None:
    breaks = vector(2, pause=0.2)
    breaks.reset(seed=0)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nondiff.processes.env_worker.connection.wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            breaks.step(np.zeros((2, 1)))
    assert breaks.step(np.zeros((2, 1)))[0][:, 1].tolist() == [2, 2]


# Nothing is left


def shared_files(pid: int) -> list[Path]:
    """Files of shared memory that `multiprocessing` made for a process."""
    return list(Path("/dev/shm").glob(f"pym-{pid}-*"))


def test_closing_leaves_no_process_and_no_file() -> None:
    before = children()
    breaks = ParallelVectorEnv(Breaks, 3, processes=2)
    breaks.reset(seed=0)
    pids = breaks.call("pid")
    assert len(set(pids)) == 2
    assert not shared_files(os.getpid())  # deleted before it is used
    breaks.close()
    assert all(map(is_gone, pids))
    assert children() == before
    assert not shared_files(os.getpid())
    breaks.close()


PARENT = """
import gymnasium, numpy as np, sys
from faulty_envs import Breaks
from nondiff.processes.vector_env import ParallelVectorEnv

if __name__ == "__main__":
    env = ParallelVectorEnv(Breaks, 4, processes=2, pause=0.05)
    env.reset(seed=0)
    print(*set(env.call("pid")), flush=True)
    while True:
        env.step(np.zeros((4, 1)))
"""


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_one_that_made_it(number: int, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(SUPPORT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    ) as process:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        time.sleep(0.1)
        # As Ctrl-C does, to the whole group; a kill is of the parent alone.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        try:
            errors = process.communicate(timeout=20)[1]
        finally:
            process.kill()  # or leaving the block would wait for ever
        assert process.returncode == -number
    assert wait_for(lambda: all(map(is_gone, pids)))
    assert not shared_files(process.pid)
    assert errors.count("Traceback") == (number == signal.SIGINT)
    assert errors.rstrip().endswith("KeyboardInterrupt" * (number == signal.SIGINT))


def test_a_plain_script_trains_on_it(push: ParallelVectorEnv) -> None:
    model = PPO("MultiInputPolicy", BatchedVecEnv(push), n_steps=4, batch_size=12, n_epochs=1)
    model.learn(12)
    assert model.num_timesteps == 12
