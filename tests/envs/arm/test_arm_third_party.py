"""A third party's task and robot work without a change of nondiff; so does what the page says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from arm_episodes import follow, grasping, random_actions
from conftest import ROOT, script
from gymnasium.utils.env_checker import check_env

IDS = ("PandaRoll-v0", "XArmRoll-v0", "XArmReach-v0")
PAGE = (ROOT / "docs" / "arm_suite.md").read_text()


@pytest.fixture(scope="module")
def example() -> Iterator[Any]:
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import arm_task_and_robot

        yield arm_task_and_robot
    finally:
        sys.path.remove(str(ROOT / "examples"))
        sys.modules.pop("arm_task_and_robot", None)
        for env_id in IDS:
            gymnasium.registry.pop(env_id, None)


@pytest.mark.parametrize("env_id", IDS)
def test_the_example_makes_sound_environments(example: Any, env_id: str) -> None:
    env = gymnasium.make(env_id, control_type="joints").unwrapped
    check_env(env, skip_render_check=True)
    records = []
    for _ in range(2):
        env.reset(seed=3)
        records.append(follow(env, random_actions(env, 60)))
    assert records[0] == records[1]
    assert env.black_box() is None
    env.close()


def test_its_ball_can_be_rolled_and_its_state_restored(example: Any) -> None:
    env = gymnasium.make("PandaRoll-v0", horizon=1_000).unwrapped
    actions = grasping(env, 1, 24)
    start = env.reset(seed=1)[0]["achieved_goal"]
    record = follow(env, actions[:12])
    state = env.get_state()
    record += follow(env, actions[12:])
    moved = env.set_state(env.get_state())["achieved_goal"]
    assert np.linalg.norm(moved - start) > 0.02
    env.set_state(state)
    assert follow(env, actions[12:]) == record[12:]
    env.close()


def test_its_task_runs_in_worker_processes(example: Any) -> None:
    vector = gymnasium.make_vec("PandaRoll-v0", num_envs=2, processes=1)
    alone = gymnasium.make("PandaRoll-v0")
    seen = vector.reset(seed=3)[0]
    assert np.array_equal(seen["observation"][0], alone.reset(seed=3)[0]["observation"])
    alone.action_space.seed(0)
    for action in [alone.action_space.sample() for _ in range(5)]:
        seen, expected = vector.step(np.stack([action] * 2))[0], alone.step(action)[0]
        assert np.array_equal(seen["observation"][0], expected["observation"])
    vector.close()
    alone.close()


def test_its_robot_reaches(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    example.main()
    assert capsys.readouterr().out.count("reached") == 5


def test_the_page_quotes_the_example() -> None:
    text = (ROOT / "examples" / "arm_task_and_robot.py").read_text()
    own = PAGE.partition("## Write a task")[2]
    blocks = re.findall(r"```python\n(.*?)```", own, re.S)
    assert len(blocks) == 3
    assert [block for block in blocks if block not in text] == []


@pytest.mark.thorough
def test_the_command_line_trains_on_it(tmp_path: Any) -> None:
    answer = script(
        "train.py",
        *("--env", "arm_task_and_robot:XArmReach-v0", "--strategy", "sac", "--budget", 150),
        *("--eval-episodes", 2, "--judge-episodes", 2, "--name", "own"),
        cwd=tmp_path,
        pythonpath=str(ROOT / "examples"),
    )
    assert answer.code == 0, answer.err
