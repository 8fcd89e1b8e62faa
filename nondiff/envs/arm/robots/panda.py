"""The Franka Panda, with the settings of panda-gym 3.0.7."""

from __future__ import annotations

from nondiff.envs.arm.robots.robot import RobotModel

TIP = "panda_grasptarget"  # URDF link of the end effector: the point between the fingertips

PANDA = RobotModel(
    urdf="franka_panda/panda.urdf",
    base_position=(-0.6, 0.0, 0.0),
    arm_joints=(0, 1, 2, 3, 4, 5, 6),
    forces=(87.0, 87.0, 87.0, 87.0, 12.0, 120.0, 120.0, 170.0, 170.0),
    neutral=(0.0, 0.41, 0.0, -1.85, 0.0, 2.26, 0.79, 0.0, 0.0),
    end_effector=11,
    downwards=(1.0, 0.0, 0.0, 0.0),
    fingers=(9, 10),
)
