"""Agents with tables of action values."""
