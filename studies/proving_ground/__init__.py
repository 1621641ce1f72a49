"""Suites of tasks with known credit, the harness that runs them, and the reports."""
