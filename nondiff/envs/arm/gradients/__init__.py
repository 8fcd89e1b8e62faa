"""Gradients of a control step of the arm."""
