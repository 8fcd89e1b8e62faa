"""Rayleigh waves at the surface of a layered ground: from phase velocities to shear velocities."""
