"""The PyBullet world of the arm."""
