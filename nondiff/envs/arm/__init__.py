"""A robot arm in PyBullet: simulation, scene, robot and task, joined by one environment."""
