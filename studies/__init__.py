"""Experiments about explanations: tasks with a known truth, networks trained on them, measures."""
