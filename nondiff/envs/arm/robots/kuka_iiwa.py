"""The KUKA LBR iiwa that comes with PyBullet, without a tool on its flange."""

from __future__ import annotations

from nondiff.envs.arm.robots.robot import RobotModel

KUKA_IIWA = RobotModel(
    urdf="kuka_iiwa/model.urdf",
    base_position=(-0.6, 0.0, 0.0),
    arm_joints=(0, 1, 2, 3, 4, 5, 6),
    forces=(300.0,) * 7,  # the URDF's
    neutral=(0.0, 0.97, 0.0, -1.35, 0.0, 0.82, 0.0),  # hand near the start of the Panda's
    end_effector=6,
    downwards=(0.0, 1.0, 0.0, 0.0),
    tool=0.045,  # the flange
)
