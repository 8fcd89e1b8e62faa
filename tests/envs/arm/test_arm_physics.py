"""The physics profiles of the arm: what is the same with each, and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from arm_episodes import MakeArm, bits, follow, grasping, random_actions
from conftest import FEW_EPISODES, Answer, Command
from gymnasium.utils.env_checker import check_env

from nondiff.envs.arm.cameras.film import CONTROL_RATE, FRAMES_PER_STEP
from nondiff.envs.arm.experts.expert import find_expert
from nondiff.envs.arm.suite import panda_push, panda_stack
from nondiff.envs.arm.world.physics import DEFAULT, PROFILES
from nondiff.experiments.evaluation.episodes import play

OTHERS = [name for name in PROFILES if name != "default"]
EACH = pytest.mark.parametrize("physics", OTHERS)
LONG = 1_000  # control steps: no episode ends by itself


@EACH
def test_a_control_step_takes_as_long(physics: str) -> None:
    profile = PROFILES[physics]
    assert profile.control_step == pytest.approx(1 / CONTROL_RATE)
    assert profile.substeps % FRAMES_PER_STEP == 0  # so that a film shows a whole step
    covered = [1 - (1 - one.gain) ** one.substeps for one in (profile, DEFAULT)]
    assert covered[0] == pytest.approx(covered[1])


@EACH
def test_the_arm_moves_nearly_as_by_default(make: MakeArm, physics: str) -> None:
    envs = [make(), make(physics=physics)]
    for direction in np.eye(3, dtype=np.float32):
        start, _ = [env.reset(seed=0)[0]["achieved_goal"] for env in envs]
        for _ in range(10):
            first, other = (env.step(direction / 5)[0]["achieved_goal"] for env in envs)
        assert 0 < np.linalg.norm(first - other) < 0.2 * np.linalg.norm(first - start)


@EACH
@pytest.mark.parametrize("task", [panda_push, panda_stack])
def test_no_bit_depends_on_history(task: MakeArm, physics: str) -> None:
    used, fresh = (task(physics=physics, horizon=LONG) for _ in range(2))
    actions = grasping(fresh, 4)
    fresh.reset(seed=4)
    expected = follow(fresh, actions)
    grasping(used, 9, 30)
    used.reset(seed=4)
    assert follow(used, actions[:20]) == expected[:20]
    state = used.get_state()
    grasping(used, 9, 20)
    used.set_state(state)
    assert follow(used, actions[20:]) == expected[20:]
    used.close()
    fresh.close()


@EACH
def test_it_is_an_environment_and_its_spec_says_which(physics: str) -> None:
    env = gymnasium.make("nondiff/PandaStack-v0", physics=physics)
    assert env.spec is not None
    again = gymnasium.make(env.spec)
    check_env(again.unwrapped, skip_render_check=True)
    for one in (env, again):
        one.reset(seed=0)
    for action in random_actions(env.unwrapped, 20):
        first, other = (one.step(action)[0] for one in (env, again))
        assert bits(first) == bits(other)
    env.close()
    again.close()


@EACH
@pytest.mark.parametrize("task", ["Push", "PickAndPlace"])
def test_the_experts_need_no_other_script(task: str, physics: str) -> None:
    env = gymnasium.make(f"nondiff/Panda{task}-v0", physics=physics)
    assert all(episode.success for episode in play(env, find_expert(env), range(3)))
    env.close()


@EACH
def test_runs_keep_their_physics_and_are_judged_with_any(
    physics: str, reach: tuple[Path, Answer], command: Command, tmp_path: Path
) -> None:
    few = ("--episodes", 3, "--random-episodes", 0)
    answer = command("evaluate", reach[0], *few, "--env-arg", f"physics={physics}", "--json")
    assert json.loads(answer.out)["env_arguments"] == {"physics": physics}
    train = ("--env", "nondiff/PandaReachDense-v0", "--env-arg", f"physics={physics}")
    others = ("--budget", 128, *FEW_EPISODES, "--runs", tmp_path, "--name", "other")
    assert command("train", *train, *others).code == 0
    own = command("evaluate", tmp_path / "other", *few, "--json")
    assert json.loads(own.out)["env_arguments"] == {"physics": physics}
    refused = command("evaluate", reach[0], tmp_path / "other", *few)
    assert refused.code != 0
    assert f"'physics': '{physics}'" in refused.err
