"""Pictures in the arm's observations: true to the world, and without influence on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from arm_episodes import MakeArm, follow, random_actions
from conftest import ROOT, Command
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from stable_baselines3.common.env_checker import check_env as check_sb3_env

from nondiff.envs.arm.cameras.camera_observation import BESIDE, CHANNELS, CameraObservation
from nondiff.envs.arm.cameras.picture_world import DEPTH_REACH, SEGMENTS
from nondiff.envs.arm.cameras.view import FAR, View
from nondiff.envs.arm.env import ArmEnv
from nondiff.envs.arm.experts.expert import find_expert
from nondiff.envs.arm.suite import kuka_reach, panda_flip, panda_push, panda_stack
from nondiff.errors import InvalidOptionError, UnknownNameError
from nondiff.processes.vector_env import ParallelVectorEnv

ALL = list(CHANNELS)
DOWN = {"target": [0.0, 0.0, 0.0], "distance": 1.2, "yaw": 0, "pitch": -90, "fov": 40}


@pytest.fixture
def seen() -> Any:
    """Makes an environment with a camera, and closes what it made."""
    made: list[ArmEnv] = []

    def make(task: MakeArm = panda_push, render_mode: str | None = None, **camera: Any) -> ArmEnv:
        made.append(task(camera=camera, render_mode=render_mode))
        return made[-1]

    yield make
    for env in made:
        env.close()


Seen = Callable[..., ArmEnv]


def points(depth: NDArray[Any], view: View) -> NDArray[np.float64]:
    """Where in the world (height, width, 3) the lower left corner of each pixel lies."""
    height, width = depth.shape[:2]
    yaw, pitch = np.radians([view.yaw, view.pitch])
    forward = np.array([-np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    up = np.cross(right, forward)
    slope = np.tan(np.radians(view.fov) / 2)
    x = (2 * np.arange(width) / width - 1) * slope * width / height
    y = (1 - 2 * (np.arange(height) + 1) / height) * slope
    rays = forward + x[None, :, None] * right + y[:, None, None] * up
    return np.asarray(view.target) - view.distance * forward + depth * rays


# What is observed


@pytest.mark.parametrize("beside", BESIDE)
def test_observations_are_those_of_the_space(seen: Seen, beside: str) -> None:
    env = seen(modes=ALL, width=48, height=40, beside=beside)
    for observation in (env.reset(seed=0)[0], env.step(env.action_space.sample())[0]):
        assert observation in env.observation_space
        assert list(observation) == sorted([*ALL, *BESIDE[beside]])
        for mode in ALL:
            assert observation[mode].shape == (40, 48, CHANNELS[mode])
    check_env(env, skip_render_check=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* depth is an image but")
        check_sb3_env(env)
    assert hasattr(env, "compute_reward") == (beside == "goals")


def test_one_mode_with_nothing_beside_is_a_box(seen: Seen) -> None:
    env = seen(width=40, height=36, beside="nothing")
    assert env.observation_space == spaces.Box(0, 255, (36, 40, 3), np.uint8)
    assert env.reset(seed=0)[0] in env.observation_space
    check_sb3_env(env)


def test_beside_goals_the_robots_state_is_observed_and_no_objects(seen: Seen) -> None:
    plain, env = panda_push(), seen(width=8, height=8)
    expected, observation = plain.reset(seed=0)[0], env.reset(seed=0)[0]
    for key in ("achieved_goal", "desired_goal"):
        assert np.array_equal(observation[key], expected[key])
    assert np.array_equal(observation["observation"], expected["observation"][:6])
    plain.close()


# Truth


@pytest.mark.parametrize("view", [DOWN, {}], ids=["down", "default"])
def test_depth_and_segments_are_those_of_the_world(seen: Seen, view: dict[str, Any]) -> None:
    env = seen(panda_stack, modes=["depth", "segmentation"], width=160, height=120, view=view)
    whole = env._picture_world._scene.camera._view
    found = 0
    for seed in range(4):
        observation = env.reset(seed=seed)[0]
        segment = observation["segmentation"][..., 0]
        places = points(observation["depth"], whole)
        table = places[segment == SEGMENTS["table"]]
        assert len(table) > 1_000
        assert np.abs(table[table[:, 0] < 0.24, 2]).max() < 1e-4  # [m], but for its front
        assert (observation["depth"][segment == SEGMENTS["nothing"]] == FAR).all()
        for index, centre in enumerate(observation["achieved_goal"].reshape(2, 3)):
            surface = places[segment == SEGMENTS["object"] + index]
            off = np.abs(surface - centre).max(axis=1)
            found += len(surface) > 0
            assert np.allclose(off, 0.02, atol=2e-4)  # [m], half an edge
    assert found >= 5  # some are hidden by the hand


def test_the_robot_is_seen_where_it_is(seen: Seen) -> None:
    env = seen(modes=["depth", "segmentation"], width=96, height=96, view=DOWN)
    env.reset(seed=0)
    for _ in range(5):
        observation = env.step(np.array([0.3, 1.0, 0.0], np.float32))[0]
    robot = observation["segmentation"][..., 0] == SEGMENTS["robot"]
    places = points(observation["depth"], env._picture_world._scene.camera._view)[robot]
    hand = observation["observation"][:3]
    near = places[np.linalg.norm(places[:, :2] - hand[:2], axis=1) < 0.03]
    assert hand[1] > 0.1
    assert len(near) > 5
    assert (near[:, 2] > hand[2]).all()


def test_a_depth_image_is_depth_about_the_target(seen: Seen) -> None:
    observation = seen(modes=["depth", "depth_image"], view=DOWN).reset(seed=0)[0]
    levels = (observation["depth"] - 1.2 + DEPTH_REACH) * 255 / (2 * DEPTH_REACH)
    assert np.abs(np.clip(levels, 0, 255) - observation["depth_image"]).max() <= 0.501
    assert np.unique(observation["depth_image"]).size > 10


@pytest.mark.parametrize("task", [panda_push, panda_flip])
def test_the_goal_is_seen_unless_it_is_given_beside(seen: Seen, task: MakeArm) -> None:
    for beside in BESIDE:
        env = seen(task, modes=["rgb", "segmentation"], beside=beside)
        shown = 0
        for seed in range(3):
            observation = env.reset(seed=seed)[0]
            shown += (observation["segmentation"] == SEGMENTS["goal"]).sum()
        assert (shown > 0) == (beside != "goals")


def test_a_view_is_taken_from_where_it_says(seen: Seen) -> None:
    near, far = seen(view={"distance": 0.7}), seen(view=View(distance=1.4))
    pictures = [env.reset(seed=0)[0]["rgb"] for env in (near, far)]
    empty = [(picture == 255).all(axis=-1).mean() for picture in pictures]
    assert empty[1] > empty[0] + 0.1
    looks = [panda_push(render_mode="rgb_array", render_view=v) for v in (None, {"yaw": 100})]
    shown = [(env.reset(seed=0), env.render())[1] for env in looks]
    assert not np.array_equal(*shown)
    for env in looks:
        env.close()


# No influence


@pytest.mark.parametrize("task", [panda_stack, kuka_reach])
def test_a_camera_changes_no_physics(seen: Seen, task: MakeArm) -> None:
    plain, env = task(), seen(task, width=16, height=16)
    start = [one.reset(seed=2)[0]["desired_goal"] for one in (plain, env)]
    assert np.array_equal(*start)
    size = plain.observation_space["observation"].shape[0]
    robot = env.observation_space["observation"].shape[0]
    assert robot <= size
    for action in random_actions(plain, 60):
        (expected, *rest), (observation, *others) = plain.step(action), env.step(action)
        assert rest == others
        assert np.array_equal(expected["achieved_goal"], observation["achieved_goal"])
        assert np.array_equal(expected["observation"][:robot], observation["observation"])
        if rest[1] or rest[2]:
            plain.reset(), env.reset()
    plain.close()


def test_pictures_are_the_same_bits_whatever_came_before_and_is_shown(seen: Seen) -> None:
    camera = {"modes": ALL, "width": 24, "height": 24, "beside": "robot"}
    used, fresh, filmed = seen(**camera), seen(**camera), seen(render_mode="rgb_array", **camera)
    actions = random_actions(used, 8)
    used.reset(seed=7)
    follow(used, random_actions(used, 60, seed=1))
    records = []
    for env in (used, fresh, filmed):
        env.reset(seed=3)
        records.append(follow(env, actions))
        if env is filmed:
            env.render()
    assert records[0] == records[1] == records[2]


def test_a_state_restores_the_picture(seen: Seen) -> None:
    env = seen(modes=["rgb", "depth"], width=48, height=48, beside="robot")
    env.reset(seed=0)
    actions = random_actions(env, 12)
    follow(env, actions[:6])
    state = env.get_state()
    expected = follow(env, actions[6:])
    env.reset(seed=1)
    restored = env.set_state(state)
    assert restored in env.observation_space
    assert follow(env, actions[6:]) == expected


@pytest.mark.thorough
def test_worker_processes_take_the_same_pictures(seen: Seen) -> None:
    camera = {"width": 24, "height": 24, "beside": "nothing"}
    many = ParallelVectorEnv(panda_push, 3, processes=2, camera=camera)
    alone = [seen(**camera) for _ in range(3)]
    pictures = many.reset(seed=5)[0]
    assert pictures.dtype == np.uint8
    for number, env in enumerate(alone):
        assert np.array_equal(env.reset(seed=5 + number)[0], pictures[number])
    for _ in range(4):
        actions = many.action_space.sample()
        pictures = many.step(actions)[0]
        for env, action, picture in zip(alone, actions, pictures, strict=True):
            assert np.array_equal(env.step(action)[0], picture)
    many.close()


# Errors


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ({"modes": []}, "modes must be some of rgb, depth, depth_image, segmentation"),
        ({"modes": ["rgb", "rgb"]}, "each once"),
        ("rgb+infrared", "infrared"),
        ({"modes": [["rgb"]]}, "modes must be some of"),
        ({"width": 0}, "width must be a whole number from 1 to 4096, not 0"),
        ({"height": 8.0}, "height must be a whole number from 1 to 4096, not 8.0"),
        ({"beside": "goal"}, "'goal' is unknown; choose from goals, robot, nothing"),
        ({"view": {"yaw": "left"}}, "yaw must be a number from -360 to 360 degrees, not 'left'"),
        ({"view": {"distance": 0}}, "distance must be a number from 0.05 to 8 m, not 0"),
        ({"view": {"fov": float("nan")}}, "fov must be a number from 1 to 170 degrees, not nan"),
        ({"view": {"target": [0, 0]}}, "target must be three numbers"),
        ({"view": 3}, "view must be an object of some of target, distance, yaw, pitch, fov"),
        (84, "camera must be an object of some of modes, width"),
    ],
)
def test_a_bad_camera_is_refused(camera: Any, message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        panda_push(camera=camera)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(UnknownNameError, match="field of camera 'heigth'; did you mean height"):
        panda_push(camera={"heigth": 84})
    with pytest.raises(UnknownNameError, match="field of render_view 'roll'"):
        panda_push(render_view={"roll": 3})


def test_a_camera_can_be_given_in_four_ways() -> None:
    ways = (
        "rgb+depth",
        {"modes": ["rgb", "depth"]},
        {"modes": ("rgb", "depth"), "view": {}},
        CameraObservation(("rgb", "depth")),
    )
    cameras = []
    for way in ways:
        env = panda_push(camera=way)
        cameras.append(env._camera)
        env.close()
    assert len(set(map(repr, cameras))) == 1


# Training


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("strategy", "camera", "options"),
    [
        ("ppo", '{"width":36,"height":36,"beside":"nothing"}', ("--n-steps", 32, "--n-epochs", 1)),
        ("sac", '{"modes":["rgb","depth_image"],"width":36,"height":36}', ()),
    ],
)
def test_a_policy_that_looks_is_trained_kept_and_judged(
    strategy: str,
    camera: str,
    options: tuple[Any, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = command(
        "train",
        *("--env", "nondiff/PandaReach-v0", "--env-arg", f"camera={camera}", "--env-arg"),
        *("horizon=10", "--strategy", strategy, "--budget", 64, "--batch-size", 8, "--num-envs", 1),
        *("--eval-episodes", 1, "--confirm-episodes", 1, "--judge-episodes", 1, "--name", "looks"),
        *options,
    )
    assert answer.code == 0, answer.err
    answer = command("evaluate", "runs/looks", "--episodes", 1)
    assert answer.code == 0, answer.err


def test_pictures_too_small_for_convolutions_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    small = '{"width":35,"height":64}'
    answer = command("train", "--env", "nondiff/PandaReach-v0", "--env-arg", f"camera={small}")
    assert answer.code == 2
    assert "at least 36 x 36 pixels" in answer.err


def test_the_page_shows_a_camera_that_works() -> None:
    page = (ROOT / "docs" / "arm_suite.md").read_text().partition("## Image obs")[2]
    code = page.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"gymnasium": gymnasium}
    exec(code, names)
    observation = names["env"].reset(seed=0)[0]
    assert list(observation) == ["depth_image", "observation", "rgb"]
    assert observation["rgb"].shape == (96, 96, 3)
    names["env"].close()


def test_gradients_and_experts_do_not_go_with_pictures() -> None:
    env = gymnasium.make("nondiff/PandaReachDense-v0", camera="rgb")
    assert env.unwrapped.black_box() is None
    with pytest.raises(InvalidOptionError, match="sees no pictures"):
        find_expert(env)
    env.close()
