"""Policies as zip files of Stable-Baselines3, and back."""
