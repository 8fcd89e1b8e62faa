"""Tasks of the arm suite: one file each."""
