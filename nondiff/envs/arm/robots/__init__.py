"""Robots of the arm suite: one file each."""
