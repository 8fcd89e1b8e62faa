"""Robots of the arm suite, one per file."""
