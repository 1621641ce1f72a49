"""Tabular agents, and Stable-Baselines3 agents with or without credit."""
