"""Demonstrations that training learns from."""
