"""Policies: networks, the spaces they map between, and their files."""
