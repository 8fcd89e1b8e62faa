"""Helpers for any Gymnasium environment: wrapping, time limits, copying, checks of returns."""
