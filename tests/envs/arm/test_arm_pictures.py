"""What the arm shows."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys

import numpy as np
import pytest
from arm_episodes import SMALL, MakeArm, bits, follow, random_actions, towards_goal
from numpy.typing import NDArray

from nondiff.envs.arm.cameras.film import FRAMES_PER_STEP
from nondiff.errors import MissingDependencyError


def goal_pixels(picture: NDArray[np.uint8]) -> tuple[int, int]:
    """How many pixels have the hue of a goal ahead (orange) and of one reached (green)."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    ahead = (red > 60) & (red > 2 * green) & (green > 2 * blue)
    reached = (green > 60) & (green > 2 * red) & (green > 2 * blue)
    return int(ahead.sum()), int(reached.sum())


def test_the_goal_is_seen_and_changes_colour_when_reached(make: MakeArm) -> None:
    env = make(render_mode="rgb_array", **SMALL)
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        ahead, reached = goal_pixels(env.render())
        assert ahead > 5
        assert reached == 0
        terminated = False
        while not terminated:
            observation, _, terminated, _, _ = env.step(towards_goal(observation))
        ahead, reached = goal_pixels(env.render())
        assert ahead == 0
        assert reached > 0


def test_slow_motion_has_more_frames_and_the_same_physics(make: MakeArm) -> None:
    plain, filmed = make(), make(render_mode="rgb_array_list", **SMALL)
    assert bits(plain.reset(seed=0)[0]) == bits(filmed.reset(seed=0)[0])
    assert len(filmed.render()) == 1
    for action in random_actions(plain, 4):
        assert follow(plain, [action]) == follow(filmed, [action])
        frames = filmed.render()
        assert len(frames) == FRAMES_PER_STEP
        assert all(frame.shape == (120, 160, 3) for frame in frames)
        assert all(not np.array_equal(*pair) for pair in itertools.pairwise(frames))
    assert filmed.render() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only X11 needs DISPLAY")
def test_a_window_needs_a_display(make: MakeArm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(MissingDependencyError, match="rgb_array"):
        make(render_mode="human")


HUMAN = """
import gymnasium
env = gymnasium.make("nondiff:nondiff/PandaReach-v0", render_mode="human")
env.reset(seed=0)
for _ in range(3):
    observation = env.step(env.action_space.low)[0]
assert env.render() is None
env.close()
print(observation["observation"].tobytes().hex())
"""


@pytest.fixture(scope="module")
def human_output() -> str:
    if shutil.which("xvfb-run") is None:
        pytest.skip("xvfb-run is not installed, so there is no display to open a window on")
    command = ["xvfb-run", "-a", sys.executable, "-W", "error", "-c", HUMAN]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.thorough
def test_a_window_shows_the_same_physics(make: MakeArm, human_output: str) -> None:
    env = make()
    env.reset(seed=0)
    for _ in range(3):
        observation = env.step(env.action_space.low)[0]
    assert observation["observation"].tobytes().hex() in human_output


def test_a_window_prints_nothing(human_output: str) -> None:
    assert len(human_output.splitlines()) == 1


def test_pybullet_prints_nothing() -> None:
    code = "from nondiff.envs.arm.suite import panda_reach; panda_reach().close()"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert done.stdout + done.stderr == b""
