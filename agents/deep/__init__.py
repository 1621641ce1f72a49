"""Stable-Baselines3 algorithms with or without credit."""
