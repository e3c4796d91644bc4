"""Preparation of micro-expression databases."""
