"""Cameras of the arm: pictures for people and for policies."""
