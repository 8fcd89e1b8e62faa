"""The tasks of the arm that move objects: what they are, and that no bit depends on history."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pybullet as bullet
import pytest
from arm_episodes import SMALL, MakeArm, bits, follow, grasping
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from nondiff import SAC
from nondiff.env_recipe import EnvRecipe
from nondiff.envs.arm.env import ArmEnv
from nondiff.envs.arm.suite import (
    panda_flip,
    panda_pick_and_place,
    panda_push,
    panda_reach,
    panda_slide,
    panda_stack,
)
from nondiff.envs.arm.tasks.flip import FACES, Flip
from nondiff.envs.arm.tasks.one_object import CUBE_SIZE
from nondiff.envs.arm.tasks.pick_and_place import LIFT
from nondiff.envs.arm.tasks.slide import GOAL_X
from nondiff.envs.arm.tasks.stack import APART
from nondiff.envs.arm.tasks.task import SQUARE
from nondiff.errors import InvalidOptionError

WITH_OBJECTS = {
    "push": panda_push,
    "slide": panda_slide,
    "pick_and_place": panda_pick_and_place,
    "stack": panda_stack,
    "flip": panda_flip,
}
Seen = dict[str, NDArray[np.float32]]
TASKS = {"reach": panda_reach, **WITH_OBJECTS}
LONG = 1_000  # control steps: no episode ends by itself
SEED = 4  # with it, what Bullet remembers of bodies that no longer touch once changed bits


@pytest.fixture(params=WITH_OBJECTS)
def make_task(request: pytest.FixtureRequest) -> Iterator[MakeArm]:
    made: list[ArmEnv] = []

    def make(**arguments: object) -> ArmEnv:
        made.append(WITH_OBJECTS[request.param](**arguments))
        return made[-1]

    yield make
    for env in made:
        env.close()


def touches(env: ArmEnv) -> int:
    """At how many points the robot touches anything."""
    body, client = env._robot._body.body, env._simulation.client
    return len(bullet.getContactPoints(bodyA=body, physicsClientId=client))


# What the tasks are


@pytest.mark.parametrize(
    ("task", "action", "observation", "goal", "threshold", "horizon"),
    [
        ("reach", 3, 6, 3, 0.05, 50),
        ("push", 3, 18, 3, 0.05, 50),
        ("slide", 3, 18, 3, 0.05, 50),
        ("pick_and_place", 4, 19, 3, 0.05, 50),
        ("stack", 4, 31, 6, 0.1, 100),
        ("flip", 4, 20, 4, 0.2, 50),
    ],
)
def test_layouts_are_those_of_panda_gym(
    task: str, action: int, observation: int, goal: int, threshold: float, horizon: int
) -> None:
    for control_type, more in (("ee", 0), ("joints", 4)):
        env = TASKS[task](control_type=control_type)
        assert env.action_space.shape == (action + more,)
        shapes = {name: space.shape for name, space in env.observation_space.spaces.items()}
        assert shapes == {
            "achieved_goal": (goal,),
            "desired_goal": (goal,),
            "observation": (observation,),
        }
        assert (env._task.threshold, env._horizon) == (threshold, horizon)
        env.close()


def side_by_side(plain: ArmEnv, env: ArmEnv) -> Iterator[tuple[Seen, Seen]]:
    """What both observe of one episode that does not depend on what they observe."""
    actions = grasping(plain, SEED, 20)
    plain.reset(seed=SEED)
    env.reset(seed=SEED)
    for action in actions:
        expected, *others = plain.step(action)
        seen, *same = env.step(action)
        assert same == others
        assert env.observation_space.contains(seen)
        yield expected, seen
    assert bits(env.set_state(env.get_state())) == bits(seen)


def test_places_relative_to_the_hand_come_after_all_else(make_task: MakeArm) -> None:
    plain, env = make_task(), make_task(relative=True)
    size = plain.observation_space["observation"].shape[0]
    things = len(env._scene.objects)
    assert env.observation_space["observation"].shape == (size + 3 * things,)
    for expected, seen in side_by_side(plain, env):
        np.testing.assert_array_equal(seen["observation"][:size], expected["observation"])
        hand, tail = seen["observation"][:3], seen["observation"][size:].reshape(things, 3)
        places = np.array([thing.position() for thing in env._scene.objects])
        np.testing.assert_allclose(tail, places - hand, atol=1e-6)


def test_an_arm_without_objects_has_nothing_relative_to_its_hand() -> None:
    env = panda_reach(relative=True)
    assert env.observation_space["observation"].shape == (6,)
    env.close()
    with pytest.raises(InvalidOptionError, match="relative must be true or false, not 'yes'"):
        panda_reach(relative="yes")


def test_the_way_to_the_goal_comes_last(make_task: MakeArm) -> None:
    plain, env = make_task(relative=True), make_task(relative=True, goal_relative=True)
    size = plain.observation_space["observation"].shape[0]
    for expected, seen in side_by_side(plain, env):
        state, way = seen["observation"][:size], seen["observation"][size:]
        np.testing.assert_array_equal(state, expected["observation"])
        if len(seen["desired_goal"]) == 4:
            cube, goal = (Rotation.from_quat(seen[f"{k}_goal"]) for k in ("achieved", "desired"))
            now, then, world, body = (Rotation.from_matrix(m) for m in way.reshape(4, 3, 3))
            assert ((cube.inv() * now).inv() * goal.inv() * then).magnitude() < 1e-3
            assert (then.inv() * world * now).magnitude() < 1e-3
            assert (then.inv() * now * body).magnitude() < 1e-3
        else:
            np.testing.assert_array_equal(way, seen["desired_goal"] - seen["achieved_goal"])


def test_the_way_of_a_cube_is_the_same_whichever_face_is_up() -> None:
    env = panda_flip()
    symmetries = Rotation.create_group("O")
    for cube, goal in zip(Rotation.random(20, rng=0), Rotation.random(20, rng=1), strict=True):
        ways = [env._task.way(*((r * s).as_quat() for r in (cube, goal))) for s in symmetries]
        np.testing.assert_allclose(ways, [ways[0]] * 24, atol=1e-6)
        now = ways[0][:9].reshape(3, 3)
        np.testing.assert_allclose(now.T @ now, np.eye(3), atol=1e-6)
        assert np.linalg.det(now) == pytest.approx(1)
        assert now[2, 2] == np.abs(now[2]).max()
        assert now[0, 0] >= abs(now[0, 1])
    env.close()


def test_what_shows_the_way_to_the_goal_is_not_relabelled() -> None:
    env = panda_reach(goal_relative=True)
    assert env.observation_space["observation"].shape == (9,)
    assert not hasattr(env, "compute_reward")
    assert env.black_box() is None
    env.close()
    recipe = EnvRecipe("nondiff/PandaReach-v0", {"goal_relative": True})
    with recipe.opened() as made, pytest.raises(InvalidOptionError, match="her = True needs"):
        SAC(her=True).check(made)
    with pytest.raises(InvalidOptionError, match="goal_relative must be true or false, not 1"):
        panda_reach(goal_relative=1)


def starts(env: ArmEnv, count: int = 200) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Achieved and desired goals (count, goal) at the start of episodes."""
    resets = [env.reset(seed=seed)[0] for seed in range(count)]
    env.close()
    return (
        np.stack([one["achieved_goal"] for one in resets]),
        np.stack([one["desired_goal"] for one in resets]),
    )


@pytest.mark.parametrize(
    ("task", "start_height", "x", "heights"),
    [
        ("push", 0.02, 0.0, (0.02, 0.02)),
        ("slide", 0.03, GOAL_X, (0.03, 0.03)),
        ("pick_and_place", 0.02, 0.0, (0.02, 0.02 + LIFT)),
    ],
)
def test_objects_and_goals_fill_their_ranges(
    task: str, start_height: float, x: float, heights: tuple[float, float]
) -> None:
    objects, goals = starts(TASKS[task]())
    for points, middle in ((objects, 0.0), (goals, x)):
        off = points[:, :2] - [middle, 0]
        assert np.abs(off).max() <= SQUARE / 2 + 1e-6
        assert (off.min(0) < -0.4 * SQUARE).all()
        assert (off.max(0) > 0.4 * SQUARE).all()
    assert np.allclose(objects[:, 2], start_height)
    assert goals[:, 2].min() == pytest.approx(heights[0])
    assert goals[:, 2].max() == pytest.approx(heights[1], abs=0.01)
    if task == "pick_and_place":
        assert 0.2 < (goals[:, 2] < 0.021).mean() < 0.4


def test_cubes_to_stack_start_apart_and_their_goals_touch() -> None:
    cubes, goals = starts(panda_stack())
    assert np.linalg.norm(cubes[:, :2] - cubes[:, 3:5], axis=1).min() >= APART - 1e-6
    assert np.allclose(goals[:, 3:] - goals[:, :3], [0, 0, CUBE_SIZE])


def test_orientations_to_reach_are_uniform() -> None:
    cubes, goals = starts(panda_flip(), 400)
    assert (cubes == [0, 0, 0, 1]).all()
    assert np.allclose(np.linalg.norm(goals, axis=1), 1)
    assert np.abs(goals[:, :3].mean(0)).max() < 0.1
    assert np.allclose((goals[:, :3] ** 2).mean(0), 0.25, atol=0.06)


def test_the_distance_of_orientations_is_that_of_the_angle_between_them() -> None:
    env = panda_flip(reward_type="dense")
    angles = np.radians([0, 30, 52, 54, 90, 180, 360]).astype(np.float32)
    turned = np.zeros((7, 4), np.float32)
    turned[:, 1], turned[:, 3] = np.sin(angles / 2), np.cos(angles / 2)
    level = np.tile(np.float32([0, 0, 0, 1]), (7, 1))
    rewards = env.compute_reward(turned, level, None)
    assert rewards.shape == (7,)
    assert np.allclose(rewards, -(np.sin(angles / 2) ** 2), atol=1e-6)
    assert np.array_equal(env.compute_reward(-turned, level, None), rewards)
    assert (-rewards < Flip.threshold).tolist() == [True] * 3 + [False] * 3 + [True]
    env.close()


def test_an_object_far_away_is_observed_at_the_bounds(make_task: MakeArm) -> None:
    env = make_task()
    env.reset(seed=0)
    for body in range(bullet.getNumBodies(env._simulation.client)):
        if bullet.getDynamicsInfo(body, -1, env._simulation.client)[0] in (1.0, 2.0):
            env._simulation.place(body, (7.0, -50.0, 3e6))
    assert env.step(env.action_space.sample())[0] in env.observation_space


def test_all_faces_of_the_cube_to_flip_have_their_colour() -> None:
    env = panda_flip(render_mode="rgb_array", **SMALL)
    env.reset(seed=0)
    visuals = bullet.getVisualShapeData(env._task._cube.body, env._simulation.client)
    assert [row[7] for row in visuals] == [pytest.approx(face) for face in FACES.faces]
    env._scene.show_success(True)
    visuals = bullet.getVisualShapeData(env._task._pattern, env._simulation.client)
    assert len({row[7] for row in visuals}) == 6
    env.close()


# No bit depends on history


def test_state_restores_every_bit_in_the_middle_of_contact(make_task: MakeArm) -> None:
    env = make_task(horizon=LONG)
    actions = grasping(env, SEED)
    env.reset(seed=SEED)
    states, record = [], []
    for step, action in enumerate(actions):
        if step in (5, 13, 30):
            states.append((step, touches(env), env.get_state()))
        record += follow(env, [action])
    assert any(contacts for _, contacts, _ in states)
    for step, _, state in states:
        for other in (None, 9):
            if other is not None:
                grasping(env, other, 20)
            env.set_state(state)
            assert follow(env, actions[step:]) == record[step:]


@pytest.mark.thorough
def test_reset_forgets_contacts_with_objects(make_task: MakeArm) -> None:
    used = make_task(horizon=LONG)
    actions = {seed: grasping(make_task(horizon=LONG), seed, 12) for seed in (0, 1)}
    until_contact = 14 + 6 * used._task.gripper
    for seed in range(20, 24):
        grasping(used, seed, until_contact)
        assert touches(used) > 0
        fresh = make_task(horizon=LONG)
        assert bits(used.reset(seed=seed % 2)[0]) == bits(fresh.reset(seed=seed % 2)[0])
        assert follow(used, actions[seed % 2]) == follow(fresh, actions[seed % 2])


def test_a_state_before_the_first_contact_is_restored_after_it() -> None:
    env = panda_stack(horizon=LONG)
    actions = grasping(env, 919, 60)
    env.reset(seed=919)  # here the cubes have not met the table yet, as far as Bullet knows
    state = env.get_state()
    record = follow(env, actions)
    env.set_state(state)
    assert follow(env, actions) == record
    env.close()
