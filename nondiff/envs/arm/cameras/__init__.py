"""Cameras of the arm, for rendering and for image observations."""
