"""A task and a robot of one's own, with nothing of nondiff's changed.

    python examples/arm_task_and_robot.py
    PYTHONPATH=examples python train.py --env arm_task_and_robot:XArmReach-v0 --strategy sac

The task: roll a ball to a place on the table. The robot: the xArm 6 that comes with PyBullet, which
has six joints and no gripper. Each goes with nondiff's own, and they go together.
"""

from __future__ import annotations

from functools import partial

import gymnasium
import numpy as np

from nondiff import ParallelVectorEnv, arm

RADIUS = 0.03  # [m]
MASS = 0.1  # [kg]


class Roll(arm.Task):
    """Roll a ball to a goal (2,) [m], x and y in the world frame."""

    gripper = False
    threshold = 0.05  # [m]
    observation_bounds = (3.0,) * 3 + (10.0,) * 3  # [m], [m/s]
    goal_bounds = (3.0,) * 2

    def __init__(self, scene):
        self._scene = scene
        self._ball = scene.add_object(arm.Sphere(RADIUS), MASS)
        self._marker = scene.add_goal_marker()

    def reset(self, rng):
        self._ball.place(arm.on_the_table(rng, RADIUS))

    def sample_goal(self, rng):
        return np.array(arm.on_the_table(rng, RADIUS)[:2], np.float32)

    def show_goal(self, goal):
        self._scene.place_ghost(self._marker, [*goal.tolist(), 0.0])

    def observe(self):
        motion = self._ball.observe()  # position, angles, velocity, angular velocity
        return motion[:3] + motion[6:9]

    def achieved_goal(self, robot_observation):
        return list(self._ball.position()[:2])

    def distance(self, achieved, desired):
        return arm.euclidean(achieved, desired)


XARM = arm.RobotModel(
    urdf="xarm/xarm6_robot.urdf",  # or the path of a file
    base_position=(-0.5, 0.0, 0.0),
    arm_joints=(1, 2, 3, 4, 5, 6),
    forces=(50.0, 50.0, 32.0, 32.0, 32.0, 20.0),
    neutral=(0.0, 0.39, -1.07, 0.0, 0.68, 0.0),
    end_effector=6,
    downwards=(1.0, 0.0, 0.0, 0.0),
)

# `gymnasium.make` and `train` hand `reward_type` and the other arguments of arm.ArmEnv through.
panda_roll = partial(arm.ArmEnv, Roll, arm.PANDA)
panda_roll_vector = partial(ParallelVectorEnv, panda_roll)
gymnasium.register("PandaRoll-v0", entry_point=panda_roll, vector_entry_point=panda_roll_vector)
gymnasium.register("XArmRoll-v0", entry_point=partial(arm.ArmEnv, Roll, XARM))
gymnasium.register("XArmReach-v0", entry_point=partial(arm.ArmEnv, arm.Reach, XARM))


def main():
    env = gymnasium.make("XArmReach-v0")
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        steps, done = 0, False
        while not done:
            move = (observation["desired_goal"] - observation["achieved_goal"]) / arm.EE_STEP
            observation, _, terminated, truncated, info = env.step(np.clip(move, -1, 1))
            steps, done = steps + 1, terminated or truncated
        print(f"seed {seed}: {'reached' if info['is_success'] else 'missed'} in {steps} steps")
    env.close()


if __name__ == "__main__":
    main()
