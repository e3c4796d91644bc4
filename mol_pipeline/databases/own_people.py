"""Who is seen in a list of own videos: one spelling a person, one person a file.

Both slips put somebody on both sides of a fold, so the list is refused with the rows to correct.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.people import spelled_in_two_ways
from mol_pipeline.databases.sources import Source
from mol_pipeline.databases.tables import Row


def refuse_two_spellings(table: Path, rows: Sequence[Row]) -> None:
    """Refuse a list in which two subjects may be one person.

    Raises:
        SourceError: With the spellings and the first row of each.
    """
    first: dict[str, int] = {}
    for row in rows:
        if row.text("subject"):
            first.setdefault(row.text("subject"), row.number)
    for names in spelled_in_two_ways(first):
        listed = " and ".join(f"{name!r} (row {first[name]})" for name in names)
        raise SourceError(
            f"{table}: subject {listed}: one person in two spellings would be on both sides of a "
            "fold; write each person in one way, or tell two people apart by more than case, "
            "blanks and leading zeros"
        )


class FilesOfSubjects:
    """Remembers whose each file is, by what it is on disk: links and other spellings are seen.

    Args:
        table: The list, for messages.
    """

    def __init__(self, table: Path) -> None:
        self._table = table
        self._subject_of: dict[tuple[int, int], tuple[str, int]] = {}

    def take(self, source: Source, subject: str, row: int) -> None:
        """Note the film or the frames of a row.

        Raises:
            SourceError: If a row of another subject has one of these files.
        """
        for path in _files(source):
            try:
                found = path.stat()
            except OSError:  # it is read later, and rejected there
                continue
            other, first = self._subject_of.setdefault((found.st_dev, found.st_ino), (subject, row))
            if other != subject:
                raise SourceError(
                    f"{self._table}: {path.name} is listed under {other!r} (row {first}) and "
                    f"{subject!r} (row {row}): one person would be on both sides of a fold; leave "
                    "one of the rows out"
                )


def _files(source: Source) -> Iterable[Path]:
    names = dict.fromkeys(name for _, name in source.frames)
    return (source.path / name if name else source.path for name in names)
