"""Reinforcement learning: the score-function gradient, by Stable-Baselines3.

Only this package imports `stable_baselines3` and `sb3_contrib`.
"""
