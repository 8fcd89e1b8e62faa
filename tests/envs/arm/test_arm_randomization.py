"""What is drawn for an episode disturbs that episode, by the seed alone, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from arm_episodes import MakeArm, bits, follow, grasping, random_actions
from conftest import ROOT, Command
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_sb3_env

from nondiff.envs.arm.env import ArmEnv
from nondiff.envs.arm.randomization.randomization import LIMITS, Randomization
from nondiff.envs.arm.suite import (
    kuka_reach,
    panda_pick_and_place,
    panda_push,
    panda_reach,
    panda_slide,
    panda_stack,
)
from nondiff.envs.arm.tasks.slide import FRICTION
from nondiff.envs.arm.world.engine import bullet
from nondiff.errors import InvalidActionError, InvalidOptionError, UnknownNameError
from nondiff.processes.vector_env import ParallelVectorEnv

ALL = {
    "object_mass": [0.5, 2.0],
    "object_friction": [0.5, 2.0],
    "robot_mass": [0.8, 1.2],
    "joint_damping": [0.0, 5.0],
    "joint_offset": [-0.05, 0.05],
    "latency": [1, 3],
    "action_noise": [0.0, 0.1],
    "observation_noise": [0.001, 0.01],
}
Make = Callable[..., ArmEnv]


@pytest.fixture
def arm() -> Iterator[Make]:
    """Makes an environment, and closes what it made."""
    made: list[ArmEnv] = []

    def make(task: MakeArm = panda_push, **randomization: Any) -> ArmEnv:
        made.append(task(randomization=randomization or None))
        return made[-1]

    yield make
    for env in made:
        env.close()


def played(env: ArmEnv, actions: list[Any], seed: int, **options: Any) -> list[Any]:
    observation, info = env.reset(seed=seed, options=options or None)
    return [bits(observation), info, *follow(env, actions)]


# No trace, and the seed alone


@pytest.mark.parametrize("task", [panda_stack, kuka_reach])
def test_an_episode_without_is_the_same_after_one_with(arm: Make, task: MakeArm) -> None:
    used, fresh = arm(task), arm(task)
    actions = grasping(fresh, seed=2) if task is panda_stack else random_actions(fresh, 45)
    for seed in (4, 5):
        played(used, actions, seed, randomization=ALL)
        assert "randomization" in used.step(actions[0])[4]
        expected = played(fresh, actions, 2)
        assert played(used, actions, 2) == expected
        assert "randomization" not in expected[1]


def test_a_seed_fixes_every_bit_whatever_came_before(arm: Make) -> None:
    used, fresh = arm(panda_stack, **ALL), arm(panda_stack, **ALL)
    actions = grasping(used, seed=1)
    for other in (7, 8):
        played(used, actions[:20], other)
        played(used, actions[:5], other, randomization={"latency": [4, 4]})
    assert played(used, actions, 3) == played(fresh, actions, 3)
    assert used.reset()[1] == fresh.reset()[1]


def test_goals_and_objects_are_those_without(arm: Make) -> None:
    plain, env = arm(panda_stack), arm(panda_stack, **ALL | {"joint_offset": [0.0, 0.0]})
    for seed in (0, None, None, 1):
        expected, observation = plain.reset(seed=seed)[0], env.reset(seed=seed)[0]
        for key in ("achieved_goal", "desired_goal"):
            assert np.array_equal(expected[key], observation[key])


def test_what_is_drawn_of_one_does_not_depend_on_the_others(arm: Make) -> None:
    everything = arm(panda_stack, **ALL).reset(seed=0)[1]["randomization"]
    assert list(everything) == list(ALL)
    for name, limits in ALL.items():
        alone = arm(panda_stack, **{name: limits}).reset(seed=0)[1]["randomization"]
        assert alone == {name: everything[name]}


def test_draws_cover_their_ranges_and_are_told(arm: Make) -> None:
    env = arm(panda_stack, **ALL)
    env.reset(seed=0)
    drawn = [env.reset()[1]["randomization"] for _ in range(60)]
    for name, (low, high) in ALL.items():
        values = np.array([episode[name] for episode in drawn], float)
        sizes = {"object_mass": (2,), "object_friction": (2,), "joint_offset": (7,)}
        assert values.shape[1:] == sizes.get(name, ())
        assert ((values >= low) & (values <= high)).all()
        assert np.ptp(values, axis=0).min() > 0.7 * (high - low)
    assert {episode["latency"] for episode in drawn} == {1, 2, 3}


# What each does


def test_masses_and_frictions_are_the_drawn_multiples(arm: Make) -> None:
    env = arm(panda_stack)
    for randomization in (ALL, {}, ALL, None):
        info = env.reset(seed=3, options={"randomization": randomization})[1]
        drawn = info.get("randomization", {})
        for index, (thing, mass) in enumerate(zip(env._scene.objects, (2.0, 1.0), strict=True)):
            factors = [drawn.get(name, (1.0, 1.0))[index] for name in list(ALL)[:2]]
            assert np.allclose([thing.mass, thing.friction], [mass * factors[0], 0.5 * factors[1]])
        masses, *_ = zip(*env._robot.link_inertias(), strict=True)
        assert sum(masses) == pytest.approx(15.06 * drawn.get("robot_mass", 1.0))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["object_mass", "object_friction", "robot_mass", "joint_damping"])
def test_physics_moves_things_otherwise(arm: Make, name: str) -> None:
    plain, env = arm(panda_pick_and_place), arm(panda_pick_and_place, **{name: [1.5, 1.5]})
    actions = grasping(plain, seed=0)
    ends = []
    for one in (plain, env):
        one.reset(seed=0)
        for action in actions:
            observation = one.step(action)[0]
        ends.append(observation["observation"])
    assert np.abs(ends[0] - ends[1]).max() > 1e-4


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_puck_slides_as_far_as_its_friction_lets_it(arm: Make, factor: float) -> None:
    env, speed = arm(panda_slide, object_friction=[factor, factor]), 0.2  # [m/s]
    env.reset(seed=0)
    env._simulation.step(100)  # it falls, and lies
    puck = env._scene.objects[0]
    start = puck.position()[0]
    bullet.resetBaseVelocity(puck.body, [speed, 0, 0], physicsClientId=env._simulation.client)
    env._simulation.step(1_200)
    coefficient = FRICTION * factor * 0.5  # times the table's
    assert puck.position()[0] - start == pytest.approx(speed**2 / (2 * coefficient * 9.81), rel=0.1)


@pytest.mark.parametrize("latency", [1, 3])
def test_latency_shifts_actions_by_whole_steps(arm: Make, latency: int) -> None:
    plain, env = arm(), arm(latency=[latency, latency])
    actions = random_actions(plain, 20)
    idle = [np.zeros(3, np.float32)] * latency
    plain.reset(seed=0)
    env.reset(seed=0)
    expected = [bits(plain.step(action)[0]) for action in [*idle, *actions]]
    assert [bits(env.step(action)[0]) for action in actions] == expected[: len(actions)]


@pytest.mark.parametrize("task", [panda_push, kuka_reach])
def test_the_arm_starts_off_neutral_and_above_the_table(arm: Make, task: MakeArm) -> None:
    largest = LIMITS["joint_offset"][1]
    env = arm(task, joint_offset=[-largest, largest])
    neutral = env._robot.model.neutral
    for seed in range(30):
        observation, info = env.reset(seed=seed)
        offsets = [*info["randomization"]["joint_offset"], *([0.0] * (len(neutral) - 7))]
        assert np.allclose(env._robot.joint_angles(), np.add(neutral, offsets))
        assert observation["observation"][2] > 0.03  # [m]


def test_observation_noise_has_its_deviation_and_leaves_goals_and_rewards(arm: Make) -> None:
    plain, env = arm(), arm(observation_noise=[0.01, 0.01])
    actions = random_actions(plain, 49)
    pairs = [(plain.reset(seed=0)[0], env.reset(seed=0)[0])]
    for action in actions:
        (expected, *rest), (observation, *others) = plain.step(action), env.step(action)
        pairs.append((expected, observation))
        assert rest[:3] == others[:3]
        assert np.array_equal(expected["achieved_goal"], observation["achieved_goal"])
        assert observation in env.observation_space
    noise = np.array([seen["observation"] - true["observation"] for true, seen in pairs])
    assert noise.std() == pytest.approx(0.01, rel=0.1)
    assert abs(noise.mean()) < 0.001
    assert np.abs(np.corrcoef(noise.T) - np.eye(18)).max() < 0.7


def test_action_noise_has_its_deviation(arm: Make) -> None:
    env = arm(action_noise=[0.2, 0.2])
    env.reset(seed=0)
    came = np.array([env._disturbances.command(np.zeros(3), step) for step in range(300)])
    assert came.std() == pytest.approx(0.2, rel=0.1)
    ones = np.array([env._disturbances.command(np.ones(3), step) for step in range(50)])
    assert ones.max() == 1.0


# States, actions, options


@pytest.mark.parametrize("task", [panda_stack, panda_reach])
def test_a_state_restores_what_disturbs_it(arm: Make, task: MakeArm) -> None:
    env = arm(task, **ALL)
    actions = grasping(env, seed=1) if task is panda_stack else random_actions(env, 45)
    env.reset(seed=1)
    last = [env.step(action)[0] for action in actions[:20]][-1]
    state = env.get_state()
    expected = follow(env, actions[20:])
    for options in ({"randomization": None}, {"randomization": {"object_mass": [3, 3]}}, None):
        env.reset(seed=9, options=options)
        follow(env, actions[:7])
        assert bits(env.set_state(state)) == bits(last)
        assert follow(env, actions[20:]) == expected


def test_bad_actions_are_not_kept_for_later(arm: Make) -> None:
    env = arm(latency=[2, 2], action_noise=[0.1, 0.1])
    actions = random_actions(env, 10)
    expected = played(env, actions, 0)
    record = played(env, actions[:4], 0)
    for bad in (np.zeros(4), np.full(3, np.nan), "left"):
        with pytest.raises(InvalidActionError):
            env.step(bad)
    assert record + follow(env, actions[4:]) == expected


def test_options_count_for_one_episode(arm: Make) -> None:
    env = arm(latency=[2, 2])
    env.reset(seed=0)
    assert env.reset()[1]["randomization"] == {"latency": 2}
    latencies = {"randomization": Randomization(latency=(1, 1))}
    assert env.reset(options=latencies)[1]["randomization"] == {"latency": 1}
    assert "randomization" not in env.reset(options={"randomization": None})[1]
    assert env.reset(options={})[1]["randomization"] == {"latency": 2}


def test_checkers_and_hindsight_find_rewards_of_the_goals(arm: Make) -> None:
    env = arm(**ALL)
    check_env(env, skip_render_check=True)
    check_sb3_env(env)


# Errors


@pytest.mark.parametrize(
    ("randomization", "message"),
    [
        ({"object_mass": [0, 2]}, r"object_mass must be two numbers .* 0.1 to 10, not \[0, 2\]"),
        ({"object_friction": [2, 1]}, r"two numbers \(low, high\) from 0 to 10, not \[2, 1\]"),
        ({"joint_damping": 3}, "from 0 to 10 N m s/rad, not 3"),
        ({"joint_offset": [-1, 1]}, "from -0.1 to 0.1 rad"),
        ({"latency": [0, 1.5]}, "latency must be two whole numbers .* 0 to 10 control steps"),
        ({"robot_mass": [1, float("nan")]}, "nan"),
        ({"action_noise": [0, "a"]}, "'a'"),
        ({"observation_noise": [0, 0, 1]}, "must be two numbers"),
        ([0.5, 2], "randomization must be an object of some of object_mass, object_friction"),
    ],
)
def test_a_bad_range_is_refused(arm: Make, randomization: Any, message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        panda_push(randomization=randomization)
    env = arm()
    expected = bits(env.reset(seed=0)[0])
    env.reset(seed=0)
    with pytest.raises(InvalidOptionError, match=message):
        env.reset(options={"randomization": randomization})
    assert bits(env.reset(seed=0)[0]) == expected


def test_one_is_known_by_its_name(arm: Make) -> None:
    env = panda_push(randomization="moderate")
    assert list(env.reset(seed=0)[1]["randomization"]) == list(LIMITS)
    env.close()


def test_unknown_names_are_refused(arm: Make) -> None:
    with pytest.raises(UnknownNameError, match="randomization 'mild'; choose from moderate"):
        panda_push(randomization="mild")
    with pytest.raises(UnknownNameError, match="field of randomization 'mas'"):
        panda_push(randomization={"mas": [1, 2]})
    with pytest.raises(UnknownNameError, match="option of reset 'randomisation'; did you mean"):
        arm().reset(options={"randomisation": {}})


def test_gradients_are_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    argument = '{"robot_mass":[0.9,1.1]}'
    answer = command(
        "train",
        *("--env", "nondiff/PandaReachDense-v0", "--strategy", "manual"),
        *("--env-arg", f"randomization={argument}"),
    )
    assert answer.code == 2
    assert (
        "PandaReachDense-v0 with randomization={'robot_mass': [0.9, 1.1]} is no black" in answer.err
    )


# Many at once, and from the command line


@pytest.mark.thorough
def test_worker_processes_draw_the_same(arm: Make) -> None:
    many = ParallelVectorEnv(panda_stack, 2, processes=1, randomization=ALL, horizon=3)
    alone = [panda_stack(randomization=ALL, horizon=3) for _ in range(2)]
    _, told = many.reset(seed=5)
    drawn = [env.reset(seed=5 + n)[1]["randomization"] for n, env in enumerate(alone)]
    for _ in range(4):  # past the end of the first episode
        actions = many.action_space.sample()
        observation, _, _, ended, info = many.step(actions)
        for number, env in enumerate(alone):
            own, _, _, truncated, own_info = env.step(actions[number])
            if truncated:
                own, own_info = env.reset()
            assert ended[number] == truncated
            assert np.array_equal(observation["observation"][number], own["observation"])
            for key, value in own_info["randomization"].items():
                assert np.array_equal(info["randomization"][key][number], value)
    assert [told["randomization"]["latency"][n] for n in range(2)] == [d["latency"] for d in drawn]
    many.close()
    for env in alone:
        env.close()


@pytest.mark.thorough
def test_it_trains_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = command(
        "train",
        *("--env", "nondiff/PandaPush-v0", "--strategy", "sac", "--budget", 120),
        *("--env-arg", 'randomization={"latency":[1,2],"object_mass":[0.5,2]}'),
        *("--env-arg", "horizon=10", "--batch-size", 16, "--num-envs", 1, "--learning-starts", 50),
        *("--eval-episodes", 1, "--confirm-episodes", 1, "--judge-episodes", 1, "--name", "own"),
    )
    assert answer.code == 0, answer.err
    undisturbed = command(
        "evaluate", "runs/own", "--episodes", 1, "--env-arg", "randomization=null"
    )
    assert undisturbed.code == 0, undisturbed.err


def test_the_page_names_every_field_and_its_example_works() -> None:
    page = (ROOT / "docs" / "arm_suite.md").read_text().partition("## Domain randomization")[2]
    page = page.partition("\n## ")[0]
    assert [name for name in LIMITS if f"| `{name}` |" not in page] == []
    names: dict[str, Any] = {"gymnasium": gymnasium}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    assert names["info"]["randomization"]["latency"] in (0, 1, 2)
    names["env"].close()
