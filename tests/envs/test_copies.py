"""A copy of an environment is one of its own in the same state, or it is refused in one line."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import psutil
import pytest
from arm_episodes import HORIZON, MakeArm, follow, grasping
from arm_episodes import random_actions as arm_actions
from gymnasium.vector import VectorEnv
from simulators import needs, skip_without
from small_boxes import Bowl
from stable_baselines3.common.vec_env import SubprocVecEnv
from test_envs import Record, differ_by_the_reward_alone, play, random_actions, signed
from test_envs import follow as follow_any
from thorough_cases import some_thorough, thin

from nondiff.black_box import BlackBoxEnv, BlackBoxVectorEnv, FunctionBox
from nondiff.black_box.executable import Executable
from nondiff.env_recipe import EnvRecipe
from nondiff.envs import ENVIRONMENTS
from nondiff.envs.arm.states import VERSIONS
from nondiff.envs.arm.suite import kuka_reach, panda_pick_and_place, panda_push, panda_reach
from nondiff.errors import CopyRefusedError, InvalidOptionError, NondiffError
from nondiff.processes.env_worker import Worker
from nondiff.processes.sandbox import PersistentProcess, ThreadPool
from nondiff.processes.vector_env import ParallelVectorEnv

Env = gymnasium.Env[Any, Any]
RESEMBLED = {  # by others of their kind, or by what is tested below, and slow
    "nondiff/SurfaceWaves-v0",
    "nondiff/SurfaceWaves6-v0",
    "nondiff/DoomBasic-v0",
    "nondiff/DoomDefendTheCenter-v0",
    "nondiff/PandaSlide-v0",
    "nondiff/PandaPickAndPlace-v0",
    "nondiff/KukaReach-v0",
}
STEPS = 24  # of which half come after the copies
COPIES: dict[str, Callable[[Env], Env]] = {
    "deepcopy": copy.deepcopy,
    "copy": lambda env: copy.copy(env.unwrapped),
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),
    "cloudpickle": lambda env: pickle.loads(cloudpickle.dumps(env)),
}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    """Another process, which knows nothing of what happened in this one."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        yield executor


def everything(env: Env, actions: list[Any]) -> Record:
    """All that an environment gives from where it is, what it samples included."""
    sampled = repr(env.action_space.sample())
    record = [*follow_any(env, actions), (b"", sampled)]
    env.close()
    return record


# Every registered environment


@pytest.mark.parametrize(
    "env_id", some_thorough(ENVIRONMENTS, differ_by_the_reward_alone() | RESEMBLED)
)
def test_a_copy_goes_on_alone(env_id: str, elsewhere: ProcessPoolExecutor) -> None:
    skip_without(env_id)
    alone, env = gymnasium.make(env_id), gymnasium.make(env_id)
    actions = random_actions(env, STEPS)
    first, rest = actions[: len(actions) // 2], actions[len(actions) // 2 :]
    random_actions(alone, STEPS)  # so that both sample the same
    assert play(env, first, seed=3) == play(alone, first, seed=3)
    if "Doom" in env_id:
        refused(env, "`close` the environment first")  # which is tried
        for each in (env, alone):
            each.close()
    copies = {name: made(env) for name, made in COPIES.items()}
    if "Doom" in env_id:
        for each in (*copies.values(), env, alone):
            each.reset()
    there = elsewhere.submit(everything, env, rest) if "Doom" not in env_id else None
    expected = everything(alone, rest)
    for name, copied in copies.items():
        assert everything(copied, rest) == expected, name
    assert there is None or there.result() == expected
    assert everything(env, rest) == expected


# The arm: copies and states at any moment, of any arguments


ARMS: dict[str, Callable[..., Any]] = {
    "plain": lambda: panda_push(horizon=HORIZON),
    "randomized": lambda: panda_pick_and_place(randomization="moderate"),
    "seen": lambda: panda_push(camera={"modes": ["rgb", "depth"], "width": 20, "height": 16}),
    "coarse": lambda: panda_pick_and_place(physics="fast", relative=True, goal_relative=True),
    "joints": lambda: panda_push(control_type="joints", reward_type="dense"),
    "filmed": lambda: panda_push(render_mode="rgb_array", render_width=32, render_height=24),
    "kuka": lambda: kuka_reach(horizon=HORIZON),
}
MOMENTS = (0, 9, 25, 40)  # steps; the hand is at the object, then holds or drags it


def actions_of(env: Any) -> list[Any]:
    if env.observation_space["observation"].shape[0] > 17 and env._robot.ee_control:
        return grasping(env, seed=1)
    return arm_actions(env, 45, scale=0.5)


@pytest.mark.thorough
@pytest.mark.parametrize("name", thin(ARMS, ["randomized", "seen", "kuka"]))
def test_states_go_to_any_arm_made_like_it(name: str) -> None:
    one, other = ARMS[name](), ARMS[name]()
    actions = actions_of(one)
    for moment in MOMENTS[1::2] if name in ("seen", "filmed") else MOMENTS:
        one.reset(seed=2)
        follow(one, actions[:moment])
        state = one.get_state()
        other.reset(seed=50)
        follow(other, actions[: 45 - moment])  # it has a history of its own
        expected = follow(one, actions)
        other.set_state(pickle.loads(pickle.dumps(state)))
        assert follow(other, actions) == expected
        other.set_state(state)
        assert follow(other, actions) == expected
        one.set_state(state)
        assert follow(one, actions) == expected
    one.close()
    other.set_state(state)  # which outlives the arm that it is from
    assert follow(other, actions) == expected
    other.close()


def futures(state: Any, actions: list[Any]) -> list[Any]:
    env = panda_push()
    env.set_state(state)
    return follow(env, actions)


def test_states_go_to_another_process(elsewhere: ProcessPoolExecutor, make_push: MakeArm) -> None:
    env = make_push()
    actions = grasping(env, seed=4)
    env.reset(seed=4)
    follow(env, actions[:30])
    there = elsewhere.submit(futures, env.get_state(), actions)
    assert there.result() == follow(env, actions)


def test_a_state_after_the_end_of_an_episode(make_push: MakeArm) -> None:
    env, other = make_push(horizon=3), make_push(horizon=3)
    env.reset(seed=0)
    for action in arm_actions(env, 3):
        assert env.step(action)[3] == (env._elapsed_steps == 3)
    other.set_state(env.get_state())
    actions = arm_actions(env, 8)
    assert follow(other, actions) == follow(env, actions)


def test_an_episode_with_a_randomization_of_its_own(make_push: MakeArm) -> None:
    env, other = make_push(), make_push()
    env.reset(seed=0, options={"randomization": "moderate"})
    other.reset(seed=0)
    actions = arm_actions(env, 12)
    other.set_state(env.get_state())
    assert follow(other, actions) == follow(env, actions)


def test_many_states_of_others_use_no_memory_for_ever(make_push: MakeArm) -> None:
    env, other = make_push(), make_push()
    env.reset(seed=0)
    state = env.get_state()
    other.set_state(state)

    def restored(count: int) -> int:
        for _ in range(count):
            other.set_state(state)
        return psutil.Process().memory_info().rss

    before = restored(100)
    assert restored(200) - before < 100 * len(state.physics.content)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"physics": "fast"}, "physics.gain"),
        ({"horizon": 7}, "horizon 50; this one has 7"),
        ({"reward_type": "dense"}, "reward_type 'sparse'; this one has 'dense'"),
        ({"control_type": "joints"}, "control_type 'ee'"),
        ({"randomization": "moderate"}, "randomization None"),
        ({"camera": "rgb"}, "camera None"),
        ({"relative": True}, "relative False"),
        ({"goal_relative": True}, "goal_relative False"),
    ],
)
def test_states_of_other_arguments_are_refused(
    make_push: MakeArm, arguments: dict[str, Any], named: str
) -> None:
    env, other = make_push(), make_push(**arguments)
    env.reset(seed=0)
    other.reset(seed=1)
    untouched = copy.deepcopy(other)
    with pytest.raises(InvalidOptionError, match=named) as refused:
        other.set_state(env.get_state())
    assert "\n" not in str(refused.value)
    actions = arm_actions(other, 5)
    assert signed_all(other, actions) == signed_all(untouched, actions)


def signed_all(env: Any, actions: list[Any]) -> list[Any]:
    return [signed(env, *env.step(action)) for action in actions]


def test_states_of_other_tasks_robots_and_versions_are_refused(
    make_push: MakeArm, make: MakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, reach, kuka = make_push(), make(), kuka_reach()
    with pytest.raises(InvalidOptionError, match=r"task 'nondiff.envs.arm.tasks.push.Push'"):
        reach.set_state(push.get_state())
    with pytest.raises(InvalidOptionError, match=r"robot\.\w+ .*; this one has"):
        kuka.set_state(reach.get_state())
    kuka.close()
    state, pickled = push.get_state(), pickle.dumps(push)
    old = state.origin | {"nondiff": "0.0.1"}
    with pytest.raises(InvalidOptionError, match=r"nondiff '0\.0\.1'; this one has"):
        push.set_state(type(state)(**{**vars(state), "origin": old}))
    monkeypatch.setitem(VERSIONS, "nondiff", "99.0")
    with pytest.raises(InvalidOptionError, match=r"this one has '99\.0'"):
        pickle.loads(pickled)


@pytest.mark.parametrize("wrong", [None, 3, b"state", {"goal": 1}])
def test_what_is_no_state_is_refused(make: MakeArm, wrong: Any) -> None:
    with pytest.raises(InvalidOptionError, match=f"not a {type(wrong).__name__}"):
        make().set_state(wrong)


def test_a_damaged_state_is_refused(make: MakeArm) -> None:
    env, other = make(), make()
    state = env.get_state()
    damaged = pickle.loads(pickle.dumps(state))
    damaged.physics.content = b"BULLET"
    with pytest.raises(InvalidOptionError, match="the state is not one of this world"):
        other.set_state(damaged)


def test_a_closed_arm_has_no_state_and_no_copies(make: MakeArm) -> None:
    env = make()
    env.close()
    for attempt in (env.get_state, lambda: copy.deepcopy(env), lambda: pickle.dumps(env)):
        with pytest.raises(CopyRefusedError, match="was closed"):
            attempt()


def test_an_arm_that_was_never_reset_is_copied(make: MakeArm) -> None:
    env = make()
    copied = copy.deepcopy(env)
    assert signed(env, *env.reset()) == signed(copied, *copied.reset())
    copied.close()


def test_a_film_is_copied_with_its_pictures() -> None:
    env = panda_reach(render_mode="rgb_array_list", render_width=16, render_height=12)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    copied = copy.deepcopy(env)
    assert np.array_equal(env.render(), copied.render())
    env.close()
    copied.close()


def test_the_black_box_of_an_arm_is_copied(make: MakeArm) -> None:
    box = make(reward_type="dense").black_box()
    start = box.initial(2, np.random.default_rng(0))
    moved = box.transition(start.state, np.ones((2, 3)))
    for made in (copy.deepcopy, copy.copy, lambda box: pickle.loads(pickle.dumps(box))):
        copied = made(box)
        assert np.array_equal(copied.transition(start.state, np.ones((2, 3))), moved)
        assert copied._world.simulation.client != box._world.simulation.client


# Stable-Baselines3's processes, which are sent an environment that lives


@pytest.mark.thorough
def test_environments_that_live_go_to_processes_of_stable_baselines3(make_push: MakeArm) -> None:
    env = make_push()
    env.reset(seed=6)
    follow(env, arm_actions(env, 5))
    sent = SubprocVecEnv([lambda: env], start_method="spawn")
    actions = arm_actions(env, 6)
    theirs = [sent.step(action[None]) for action in actions]
    sent.close()
    for (observation, reward, _, _), action in zip(theirs, actions, strict=True):
        ours, gain, *_ = env.step(action)
        assert {key: part[0].tolist() for key, part in observation.items()} == {
            key: part.tolist() for key, part in ours.items()
        }
        assert reward[0] == np.float32(gain)


# What they hold


SCRIPT = "import sys\nfor line in sys.stdin: print(float(line) ** 2, flush=True)"


def test_a_program_that_stays_is_started_by_each_copy() -> None:
    box = Executable(
        [sys.executable, "-c", SCRIPT],
        parameters={"x": (0.0, 2.0, "m")},
        outputs={"y": (0.0, 9.0, "m2")},
        contexts=[[1.0], [2.0]],
        writes="numbers",
        persistent=True,
        workers=1,
    )
    env = BlackBoxEnv(box)
    actions = [np.array([step / 10], np.float32) for step in range(8)]
    before = play(env, actions, seed=0)
    for name, made in COPIES.items():
        copied = made(env)
        copied.close()  # which is no one's but its own
        assert copied.box is not box, name
        assert play(copied, actions, seed=0) == before, name
        copied.close()
    assert play(env, actions, seed=0) == before
    assert box._function._function._pool._made
    env.close()


def test_functions_of_ones_own_are_copied_where_they_can_be() -> None:
    box = FunctionBox(bent, low=[0.0], high=[1.0], contexts=[[0.2], [0.4]], jacobian=slope)
    actions = [np.array([0.3], np.float32)] * 4
    before = play(BlackBoxEnv(box), actions, seed=1)
    for name, made in COPIES.items():
        copied = made(BlackBoxEnv(box))
        assert play(copied, actions, seed=1) == before
        assert copied.box.jacobian.__self__ is copied.box, name


def bent(x: Any) -> Any:
    return x**2


def slope(x: Any) -> Any:
    return 2 * x[None]


def test_a_meter_is_copied_with_its_count() -> None:
    env = BlackBoxEnv(Bowl())
    play(env, [np.zeros(2, np.float32)] * 3, seed=0)
    for made in COPIES.values():
        copied = made(env)
        assert copied.meter.calls == 3
        assert copied.meter.box is copied.box
        copied.step(np.zeros(2, np.float32))
    assert env.meter.calls == env.meter.rows["transition"] == 3


def test_a_vectorised_black_box_is_copied() -> None:
    env = BlackBoxVectorEnv(Bowl(), 3)
    env.reset(seed=0)
    actions = np.zeros((3, 2), np.float32)
    copies = [copy.deepcopy(env), copy.copy(env), pickle.loads(pickle.dumps(env))]
    first, second = ([step_of(each, actions) for each in (env, *copies)] for _ in range(2))
    assert first[1:] == first[:1] * 3
    assert second[1:] == second[:1] * 3
    assert first != second


def step_of(env: VectorEnv[Any, Any, Any], actions: Any) -> str:
    return repr(env.step(actions))


def test_pools_and_processes_begin_anew_in_a_copy() -> None:
    process = PersistentProcess([sys.executable, "-c", SCRIPT])
    assert process.ask("3\n") == "9.0"
    for made in (copy.deepcopy, copy.copy, lambda held: pickle.loads(pickle.dumps(held))):
        copied = made(process)
        assert copied.starts == 0
        assert copied.ask("4\n") == "16.0"
        copied.close()
    assert (process.ask("2\n"), process.starts) == ("4.0", 1)
    process.close()
    pool = ThreadPool(maker, 2)
    assert pool.map([1, 2, 3]) == [2, 4, 6]
    assert copy.deepcopy(pool).map([1, 2]) == [2, 4]
    pool.close()


def maker() -> Callable[[int], int]:
    return doubled


def doubled(row: int) -> int:
    return 2 * row


def refused(thing: Any, *named: str) -> None:
    for attempt in (copy.deepcopy, pickle.dumps, cloudpickle.dumps):
        with pytest.raises(NondiffError) as refusal:
            attempt(thing)
        assert "\n" not in str(refusal.value)
        assert all(name in str(refusal.value) for name in named)


def test_what_stands_for_processes_and_worlds_is_refused(make: MakeArm) -> None:
    vector = ParallelVectorEnv(panda_reach, 1)
    worker = Worker(EnvRecipe("CartPole-v1"), 60.0)
    try:
        refused(vector, "ParallelVectorEnv", "make another one with the same arguments")
        refused(worker, "Worker", "make another one of the same recipe")
        refused(make()._simulation, "Simulation", "copy the environment")
    finally:
        vector.close()
        worker.close()


@needs("vizdoom")
def test_a_game_is_copied_before_and_after_and_not_while_it_runs() -> None:
    env = gymnasium.make("nondiff/DoomBasic-v0")
    early = copy.deepcopy(env)
    first = env.reset(seed=1)[0]
    refused(env.unwrapped, "Engine", "`close` the environment first")
    assert np.array_equal(early.reset(seed=1)[0], first)
    early.close()
    env.close()
    late = pickle.loads(pickle.dumps(env))
    assert np.array_equal(late.reset(seed=1)[0], first)
    late.close()


@pytest.fixture
def make_push() -> Iterator[MakeArm]:
    """Makes PandaPush, and closes what it made."""
    made: list[Any] = []

    def make(**arguments: Any) -> Any:
        made.append(panda_push(**arguments))
        return made[-1]

    yield make
    for env in made:
        env.close()
