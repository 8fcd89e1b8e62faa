"""Environments as Stable-Baselines3's vector environments."""
