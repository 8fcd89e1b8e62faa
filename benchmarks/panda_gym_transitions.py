"""Record transitions of panda-gym 3.0.7, which `tests/envs/arm/test_arm_peer.py` recreates.

    python benchmarks/panda_gym_transitions.py

Installs panda-gym into a temporary environment and writes tests/data/panda_gym_transitions.npz: for
each task, by end-effector and by joint control, a short episode that heads for the object and
closes the fingers. PyBullet must be the version that nondiff runs on, so it is asked for by number.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

OUTPUT = Path(__file__).parents[1] / "tests" / "data" / "panda_gym_transitions.npz"
TASKS = ("Reach", "Push", "Slide", "PickAndPlace", "Stack", "Flip")
STEPS = 17  # 6 tasks x 2 kinds of control x 17 = 204 transitions
CLOSE_AT = 9  # the step from which the fingers close
JOINTS = (0, 1, 2, 3, 4, 5, 6, 9, 10)
END_EFFECTOR = 11
STEP = 0.05  # [m] or [rad] of an action of 1


def install_and_record() -> None:
    """Run `record` where panda-gym is installed."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = f"{folder}/bin/python"
        packages = ("panda-gym==3.0.7", f"pybullet=={version('pybullet')}", "numpy", "gymnasium")
        subprocess.run([python, "-m", "pip", "install", "-qq", *packages], check=True)
        subprocess.run([python, __file__, "record"], check=True)


def record() -> None:
    """Write the file."""
    arrays = {}
    for number, task in enumerate(TASKS):
        for control in ("ee", "joints"):
            for name, array in episode(task, control, seed=number).items():
                arrays[f"{task}/{control}/{name}"] = array
    np.savez_compressed(OUTPUT, **arrays)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size / 1000:.0f} kB")


def episode(task: str, control: str, seed: int) -> dict[str, np.ndarray]:
    """States before each step and after the last, actions, and what was reported."""
    env = make(task, control)
    rng = np.random.default_rng(seed)
    np.random.seed(seed)  # panda-gym draws the goals of Flip from the global generator
    observation, _ = env.reset(seed=seed)
    goal = env.task.get_goal()
    rows, states = [], [state(env)]
    for step in range(STEPS):
        action = towards(env, observation, goal, step, rng)
        observation, sparse, *_ = env.step(action)
        achieved = observation["achieved_goal"]
        env.task.reward_type = "dense"
        dense = env.compute_reward(achieved, goal, {})
        env.task.reward_type = "sparse"
        rows.append((action, observation["observation"], achieved, sparse, dense))
        states.append(state(env))
    env.close()
    names = ("action", "observation", "achieved", "sparse", "dense")
    arrays = {
        name: np.array(part) for name, part in zip(names, zip(*rows, strict=True), strict=True)
    }
    joints, objects, tips = (np.array(part) for part in zip(*states, strict=True))
    return {**arrays, "joints": joints, "objects": objects, "tip": tips, "goal": goal}


def make(task: str, control: str):
    """An environment of panda-gym; Flip without the texture that its package lacks."""
    import panda_gym.envs
    from panda_gym.pybullet import PyBullet

    create_box = PyBullet.create_box
    PyBullet.create_box = lambda self, *a, texture=None, **k: create_box(self, *a, **k)
    try:
        return getattr(panda_gym.envs, f"Panda{task}Env")(control_type=control)
    finally:
        PyBullet.create_box = create_box


def bodies(env) -> list[int]:
    """Numbers of the objects."""
    names = ("object", "object1", "object2")
    return [env.sim._bodies_idx[name] for name in names if name in env.sim._bodies_idx]


def state(env) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints (18,), objects (n, 13) and the end effector (3,), all at this instant."""
    bullet, robot = env.sim.physics_client, env.sim._bodies_idx["panda"]
    joints = np.array([row[:2] for row in bullet.getJointStates(robot, JOINTS)])
    objects = [
        np.concatenate([*bullet.getBasePositionAndOrientation(n), *bullet.getBaseVelocity(n)])
        for n in bodies(env)
    ]
    tip = bullet.getLinkState(robot, END_EFFECTOR, computeForwardKinematics=1)[4]
    return joints.T.ravel(), np.reshape(objects, (-1, 13)), np.array(tip)


def towards(env, observation, goal, step: int, rng: np.random.Generator) -> np.ndarray:
    """An action towards the object, or the goal where there is none, with noise."""
    hand = observation["observation"][:3]
    size = env.action_space.shape[0]
    arm = 3 if env.robot.control_type == "ee" else 7
    objects = bodies(env)
    target = (
        env.sim.physics_client.getBasePositionAndOrientation(objects[0])[0] if objects else goal
    )
    move = 8 * (np.array(target[:3]) - hand) + rng.uniform(-0.3, 0.3, 3)
    if arm == 7:
        joints = np.array([env.robot.get_joint_angle(joint) for joint in range(7)])
        wanted = env.robot.inverse_kinematics(
            END_EFFECTOR, hand + STEP * np.clip(move, -1, 1), np.array([1.0, 0.0, 0.0, 0.0])
        )
        move = (wanted[:7] - joints) / STEP
    fingers = [1.0 if step < CLOSE_AT else -1.0] * (size - arm)
    return np.clip([*move, *fingers], -1, 1).astype(np.float32)


if __name__ == "__main__":
    record() if sys.argv[1:] == ["record"] else install_and_record()
