"""Gradients of a control step of the arm: hand-written, and by a torch twin."""
