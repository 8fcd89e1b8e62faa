"""The simulated world of the arm in PyBullet."""
