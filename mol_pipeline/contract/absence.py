"""Cells of a table that say that something is not annotated."""

import unicodedata

MISSING_WORDS = frozenset(
    {"", "/", "\\", "?", "-", "nan", "none", "n/a", "na", "null", "#n/a", "无"}
)
"""Cells that mean: not annotated; see `is_absent`."""

DASHES = frozenset("-\u2010\u2011\u2012\u2013\u2014\u2015\u2212")


def is_absent(text: str) -> bool:
    """Whether a cell says that something is not annotated: empty, a word for it, or dashes."""
    plain = unicodedata.normalize("NFKC", text).strip().lower()
    return plain in MISSING_WORDS or all(sign in DASHES for sign in plain)
