"""Known errors of the releases: a table (`corrections.csv`), not code.

    clip     name, or a pattern (`e_*`) where the annotation tells clips apart by other means
    field    onset, apex, offset, emotion, or clip (its name)
    wrong    the cell as the owners wrote it, or `outside` (of onset..offset)
    right    the value to take; empty if it is unknown and the cell is to be ignored

A correction applies only where the wrong value is present; what was applied is logged
and listed in the manifest. Of several that fit, the one that makes the shortest possible
interval counts.
"""

import csv
import fnmatch
import functools
from importlib import resources

from mol_pipeline.contract.absence import is_absent
from mol_pipeline.contract.manifest import Correction

OUTSIDE = "outside"


@functools.cache
def known_corrections(database: str) -> tuple[Correction, ...]:
    """Corrections of one database."""
    text = resources.files(__package__).joinpath("corrections.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return tuple(
        Correction.model_validate({key: value for key, value in row.items() if key != "database"})
        for row in rows
        if row["database"] == database
    )


class Corrections:
    """The corrections of one database that a user wants."""

    def __init__(self, database: str, *, enabled: bool) -> None:
        self._known = known_corrections(database) if enabled else ()

    def word(self, subject: str, clip: str, field: str, value: str) -> Correction | None:
        """The correction of a word, or None if it is not known to be wrong."""
        for known in self._matching(subject, clip, field):
            if known.wrong == value.strip().lower() or known.wrong == value.strip():
                return _of_clip(known, clip)
        return None

    def number(
        self,
        subject: str,
        clip: str,
        field: str,
        value: str,
        *,
        at_least: int | None = None,
        outside: bool = False,
    ) -> Correction | None:
        """The correction of a number, or None if there is none for this value.

        Args:
            subject: Of the clip.
            clip: Name of the clip.
            field: onset, apex or offset.
            value: The cell; whole numbers without a decimal point.
            at_least: Smallest value that is possible in this row.
            outside: Whether the value lies outside onset..offset.
        """
        fitting = [
            known
            for known in self._matching(subject, clip, field)
            if known.wrong == value
            or (known.wrong == OUTSIDE and outside)
            or (is_absent(known.wrong) and is_absent(value))
        ]
        possible = [
            known
            for known in fitting
            if at_least is None or not known.right or int(known.right) >= at_least
        ]
        if not possible:
            return None
        return _of_clip(min(possible, key=lambda known: int(known.right or 0)), clip)

    def _matching(self, subject: str, clip: str, field: str) -> list[Correction]:
        return [
            known
            for known in self._known
            if known.field == field
            and known.subject.lower() == subject.lower()
            and fnmatch.fnmatchcase(clip.lower(), known.clip.lower())
        ]


def _of_clip(known: Correction, clip: str) -> Correction:
    """A correction as it is listed: with the clip's name in place of a pattern."""
    return known.model_copy(update={"clip": clip})
