"""Tasks of the arm suite, one per file."""
