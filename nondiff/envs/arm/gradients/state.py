"""Slices of a state (24,) of the Panda: joint positions and velocities, end-effector motion."""

from nondiff.envs.arm.robots.panda import PANDA

ARM, JOINTS = len(PANDA.arm_joints), len(PANDA.joints)
ANGLES = slice(0, ARM)  # [rad]
VELOCITIES = slice(JOINTS, JOINTS + ARM)  # [rad/s]
JOINT_STATE = slice(0, 2 * JOINTS)  # positions and velocities of the arm and the fingers
POSITION = slice(JOINT_STATE.stop, JOINT_STATE.stop + 3)  # [m]
VELOCITY = slice(POSITION.stop, POSITION.stop + 3)  # [m/s]
MOTION = slice(POSITION.start, VELOCITY.stop)
WIDTH = MOTION.stop
