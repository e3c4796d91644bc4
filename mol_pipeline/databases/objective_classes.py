"""Objective classes from the owners' separate file, joined with the rows of the coding.

    CASME2-ObjectiveClasses.xlsx        Subject, Filename, Objective Class; one row a clip

A row belongs to the clip that it names. Where names are absent or have slips, the order of the
rows decides, if there are as many as in the coding and they say nothing else. A file that fits in
neither way is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.tables import Columns, Row

FIELD = "objective_class"
"""Our name of the column."""
COLUMNS: Columns = {FIELD: ("Objective Class", "Objective Classes", "Objective")}
NAMES: Columns = {"subject": ("Subject", "Sub"), "filename": ("Filename", "File name", "Clip")}
PATTERNS = ("*CASME*Objective*Class*.xls*",)

Key = tuple[str, str]
"""Subject and clip, as a database's adapter writes them, in lower case; empty if not written."""

FIGURES = {name: str(n) for n, name in enumerate(("i", "ii", "iii", "iv", "v", "vi", "vii"), 1)}


@dataclass(frozen=True)
class Joined:
    """The rows of a coding with their objective classes, and what is odd about them."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def join_objective_classes(
    path: Path, coding: Sequence[Row], classes: Sequence[Row], key: Callable[[Row], Key]
) -> Joined:
    """Write the classes of a file into the rows of a coding.

    Args:
        path: Of the file, for messages.
        coding: Rows of the annotation.
        classes: Rows of the file.
        key: From a row of either to its clip.

    Raises:
        SourceError: If the file is about other clips, or gives one of them two classes.
    """
    keys, written = list(map(key, coding)), list(map(key, classes))
    by_name = _by_name(path, classes, written)
    found = {place: by_name[one] for place, one in enumerate(keys) if one in by_name}
    absent = [place for place in range(len(keys)) if place not in found]
    notes = []
    if absent and _has_one_order(keys, written):
        found |= {place: classes[place].text(FIELD) for place in absent}
        notes.append(
            f"{path.name}: {len(absent)} row(s) name no clip of the annotation: taken in the order "
            "of the rows"
        )
    elif len(absent) > len(keys) / 2:
        raise SourceError(
            f"{path}: {len(classes)} objective classes do not fit the {len(coding)} rows of the "
            f"annotation: {len(absent)} of its clips are not named, and the rows are not in its "
            "order; put the file of this coding there, or take it away"
        )
    elif absent:
        clips = ", ".join("/".join(keys[place]) for place in absent[:3])
        notes.append(f"{path.name}: no objective class for {len(absent)} clip(s), first: {clips}")
    return _written(path, coding, found, notes)


def _by_name(path: Path, classes: Sequence[Row], keys: Sequence[Key]) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for row, one in zip(classes, keys, strict=True):
        if all(one) and found.setdefault(one, row.text(FIELD)) != row.text(FIELD):
            raise SourceError(
                f"{path}: {'/'.join(one)} has two objective classes, the second in row "
                f"{row.number}; leave the right one"
            )
    return found


def _has_one_order(keys: Sequence[Key], written: Sequence[Key]) -> bool:
    """Whether two tables of clips are in one order, as far as the second names any."""
    if len(keys) != len(written):
        return False
    pairs = list(zip(keys, written, strict=True))
    subjects = all(mine[0] == other[0] for mine, other in pairs if other[0])
    named = [mine[1] == other[1] for mine, other in pairs if other[1]]
    return subjects and sum(named) >= len(named) / 2


def _written(
    path: Path, coding: Sequence[Row], found: Mapping[int, str], notes: list[str]
) -> Joined:
    """The coding with the classes that were found; its own, where it has one, counts."""
    rows, used, differ = [], 0, 0
    for place, row in enumerate(coding):
        own, other = row.text(FIELD), found.get(place, "")
        differ += bool(own and other and _figure(own) != _figure(other))
        used += bool(other and not own)
        rows.append(Row(row.number, {**row.cells, FIELD: own or other}))
    if used:
        notes.append(f"objective classes of {used} clip(s) are those of {path.name}")
    if differ:
        notes.append(f"{path.name}: {differ} class(es) differ from the annotation's, which count")
    return Joined(tuple(rows), tuple(notes))


def _figure(text: str) -> str:
    """A class in Roman or Arabic figures as the latter."""
    lower = text.strip().lower()
    return FIGURES.get(lower, lower)
