"""Transitions of panda-gym 3.0.7, recorded by benchmarks/panda_gym_transitions.py, recreated.

By joint control the physics is the same and nothing stands between: whole episodes agree, to what
is left of a solver's rounding after contacts. By end-effector control panda-gym's inverse
kinematics stops short by 7 mm as a rule and 29 mm at worst, from an end effector that it reads a
substep late, up to 4 mm off; so each transition starts from panda-gym's own state.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pybullet as bullet
import pytest
from conftest import DATA
from numpy.typing import NDArray
from test_arm_tasks import TASKS

from nondiff.envs.arm.env import ArmEnv

RECORDED = DATA / "panda_gym_transitions.npz"
PEER_NAMES = {
    "Reach": "reach",
    "Push": "push",
    "Slide": "slide",
    "PickAndPlace": "pick_and_place",
    "Stack": "stack",
    "Flip": "flip",
}
STALE = 0.004  # [m] panda-gym's end effector, read a substep late
SHORT_OF_TARGET = 0.04  # [m] its inverse kinematics, 0.029 at worst, after a stale reading
TURNED = 0.1  # in distances of orientation: a cube turned by a fingertip that is elsewhere


class Replay:
    """Our environment, put into the states of a record."""

    def __init__(self, task: str, control: str) -> None:
        with np.load(RECORDED) as file:
            prefix = f"{task}/{control}/"
            self.record = {key[len(prefix) :]: file[key] for key in file if key.startswith(prefix)}
        self.env: ArmEnv = TASKS[PEER_NAMES[task]](control_type=control)
        client = self.env._simulation.client
        self.client, self.steps = client, len(self.record["action"])
        count = self.record["objects"].shape[1]
        bodies = range(bullet.getNumBodies(client))
        masses = [bullet.getDynamicsInfo(body, -1, client)[0] for body in bodies]
        movable = [body for body in bodies if masses[body] in (1.0, 2.0)]
        self.objects = [body for body in movable if bullet.getNumJoints(body, client) == 0]
        assert len(self.objects) == count

    def start(self, step: int) -> NDArray[np.float32]:
        """Take the state before a step; returns the observation."""
        env, state = self.env, self.record
        env.reset(seed=0)
        env._goal = state["goal"].astype(np.float32)
        env._robot.place(*state["joints"][step].reshape(2, 9).tolist())
        for body, row in zip(self.objects, state["objects"][step].tolist(), strict=True):
            env._simulation.place(body, row[:3], row[3:7])
            bullet.resetBaseVelocity(body, row[7:10], row[10:], self.client)
        return env._senses.read(0)[0]

    def errors(self, step: int) -> tuple[float, float]:
        """How far the end effector and the objects [m] are from where they were after a step."""
        tip = self.env._robot.observe()[:3] - self.record["tip"][step + 1]
        places = [self.env._simulation.motion(body)[0] for body in self.objects]
        objects = np.reshape(places, (-1, 3)) - self.record["objects"][step + 1][:, :3]
        return np.linalg.norm(tip), max(np.linalg.norm(objects, axis=1), default=0)


@pytest.fixture(params=PEER_NAMES)
def task(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def by_joints(task: str) -> Iterator[Replay]:
    replay = Replay(task, "joints")
    yield replay
    replay.env.close()


@pytest.fixture
def by_end_effector(task: str) -> Iterator[Replay]:
    replay = Replay(task, "ee")
    yield replay
    replay.env.close()


def test_episodes_by_joint_control_agree(by_joints: Replay) -> None:
    by_joints.start(0)
    record, errors = by_joints.record, []
    for step, action in enumerate(record["action"]):
        *_, info = by_joints.env.step(action)
        errors.append(by_joints.errors(step))
        assert info["reward_sparse"] == record["sparse"][step]
        assert abs(info["reward_dense"] - record["dense"][step]) < 0.01
    tip, objects = np.array(errors).T
    assert tip.max() < 1e-3
    assert np.median(objects) < 1e-4
    assert objects.max() < 0.01  # of a puck that was hit


def test_transitions_by_end_effector_control_agree(task: str, by_end_effector: Replay) -> None:
    record, errors = by_end_effector.record, []
    tolerance = TURNED if task == "Flip" else SHORT_OF_TARGET
    for step, action in enumerate(record["action"]):
        by_end_effector.start(step)
        *_, info = by_end_effector.env.step(action)
        errors.append(by_end_effector.errors(step))
        assert info["reward_sparse"] == record["sparse"][step]
        assert abs(info["reward_dense"] - record["dense"][step]) < tolerance
    tip, objects = np.array(errors).T
    assert tip.max() < SHORT_OF_TARGET
    assert np.median(tip) < 0.01
    assert objects.max() < SHORT_OF_TARGET / 2  # what a fingertip that is elsewhere pushes


def test_observations_have_the_same_layout(by_end_effector: Replay) -> None:
    record, robot = by_end_effector.record, 6 + by_end_effector.env._task.gripper
    for step in range(1, by_end_effector.steps):
        ours, theirs = by_end_effector.start(step), record["observation"][step - 1]
        assert np.linalg.norm(ours[:3] - theirs[:3]) < STALE
        np.testing.assert_allclose(ours[3:6], theirs[3:6], atol=0.1)  # of a pose that is stale too
        np.testing.assert_allclose(ours[6:robot], theirs[6:robot], atol=1e-5)
        np.testing.assert_allclose(ours[robot:], theirs[robot:], atol=1e-4)


def test_rewards_of_the_same_goals_are_equal(by_joints: Replay, by_end_effector: Replay) -> None:
    for replay in (by_joints, by_end_effector):
        record = replay.record
        goals = np.tile(record["goal"].astype(np.float32), (replay.steps, 1))
        rewards = replay.env.compute_reward(record["achieved"], goals, None)
        assert np.array_equal(rewards, record["sparse"])
        distance = replay.env._task.distance(record["achieved"], goals)
        np.testing.assert_allclose(-distance, record["dense"], atol=1e-6)
