"""Each scripted expert solves its task, from seeds alone, within the action space."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest

from nondiff.envs import ENVIRONMENTS
from nondiff.envs.arm.experts import EXPERTS
from nondiff.envs.arm.experts.expert import Expert, find_expert
from nondiff.errors import InvalidOptionError
from nondiff.experiments.evaluation.episodes import Episode, play

TASKS = ("Reach", "Push", "Slide", "PickAndPlace", "Stack", "Flip")
IDS = [*(f"nondiff/Panda{task}-v0" for task in TASKS), "nondiff/KukaReach-v0"]
SOLVED = dict.fromkeys(IDS, 0.95) | {"nondiff/PandaSlide-v0": 0.9}  # share of episodes, at least


@pytest.fixture(params=IDS)
def env(request: pytest.FixtureRequest) -> Iterator[gymnasium.Env]:
    env = gymnasium.make(request.param)
    yield env
    env.close()


def solved(episodes: list[Episode]) -> float:
    return float(np.mean([episode.success for episode in episodes]))


def test_every_task_of_the_arm_has_an_expert() -> None:
    arm = {entry for entry, _ in ENVIRONMENTS.values() if entry.startswith("nondiff.envs.arm.")}
    assert set(EXPERTS) == arm
    assert {gymnasium.spec(env_id).entry_point for env_id in IDS} == arm


@pytest.mark.thorough
def test_an_expert_solves_its_task(env: gymnasium.Env) -> None:
    assert solved(play(env, find_expert(env), range(10))) >= SOLVED[env.spec.id]


@pytest.mark.slow
def test_an_expert_solves_its_task_at_length(env: gymnasium.Env) -> None:
    assert solved(play(env, find_expert(env), range(1_000, 1_200))) >= SOLVED[env.spec.id]


def test_a_seed_fixes_what_an_expert_does(env: gymnasium.Env) -> None:
    def actions(expert: Expert) -> list[bytes]:
        observation, _ = env.reset(seed=3)
        taken, done = [], False
        while not done:
            action = expert.predict(observation)
            assert env.action_space.contains(action)
            observation, _, terminated, truncated, _ = env.step(action)
            taken.append(action.tobytes())
            done = terminated or truncated
        return taken

    assert actions(find_expert(env)) == actions(find_expert(env))


def test_an_environment_without_an_expert_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="CartPole-v1 has no expert; those with one are "):
        find_expert(gymnasium.make("CartPole-v1"))


def test_control_by_joints_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="control_type must be 'ee', not 'joints'"):
        find_expert(gymnasium.make("nondiff/PandaReach-v0", control_type="joints"))
