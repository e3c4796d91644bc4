"""Where the small inputs lie that failed once, and films and images drawn by code."""

from pathlib import Path

CASES = Path(__file__).parents[2] / "shared" / "cases"
"""Beside the project, where they are to be had."""
