"""Domain randomization of the arm."""
