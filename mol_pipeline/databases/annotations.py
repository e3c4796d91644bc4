"""Finding the owners' table below a root: by name, then by columns, then by content."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.files import hash_file
from mol_pipeline.databases.files import find_annotations, unpack_hint
from mol_pipeline.databases.sheets import read_sheets


def find_annotation(
    root: Path,
    patterns: Sequence[str],
    title: str,
    override: Path | None,
    is_right: Callable[[Path], bool] = lambda path: True,
) -> tuple[Path, tuple[str, ...]]:
    """Find the annotation file of a release by name, then by content.

    Args:
        root: Of the release.
        patterns: Of file names, case aside.
        title: Of the database, for messages.
        override: The file that the user named.
        is_right: Whether a file has the right columns; asked only if several fit by name.

    Returns:
        The table, and notes on others that say the same.

    Raises:
        SourceError: If there is none, or several that differ in name or content.
    """
    if override is not None:
        if not override.is_file():
            raise SourceError(f"{override}: no annotation file there; check --annotation")
        return override, ()
    found = find_annotations(root, patterns)
    if not found:
        words = f"no annotation of {title}" if " " in title else f"no {title} annotation"
        raise SourceError(
            f"{root}: {words} ({' or '.join(patterns)}) in it or below; "
            f"put the owners' table there or name it with --annotation{unpack_hint(root)}"
        )
    if len(found) > 1:
        found = [path for path in found if is_right(path)] or found
    if len({path.name.lower() for path in found}) > 1:
        names = ", ".join(path.relative_to(root).as_posix() for path in found)
        raise SourceError(f"{root}: several annotations ({names}); choose one with --annotation")
    return one_of(found, root)


def one_of(tables: Sequence[Path], root: Path) -> tuple[Path, tuple[str, ...]]:
    """The first of several tables that all say the same, and a note on the others.

    Args:
        tables: At least one.
        root: They lie below it.

    Raises:
        SourceError: If two of them differ.
    """
    first = tables[0]
    for other in tables[1:]:
        if not _say_the_same(first, other):
            names = " and ".join(path.relative_to(root).as_posix() for path in (first, other))
            raise SourceError(
                f"{root}: several annotations: {names} have one name and say different things; "
                "choose one with --annotation"
            )
    others = ", ".join(path.relative_to(root).as_posix() for path in tables[1:])
    if not others:
        return first, ()
    used = first.relative_to(root).as_posix()
    return first, (f"annotation {used} is used; the same is in {others}",)


def _say_the_same(one: Path, other: Path) -> bool:
    """Whether two tables are the same file, or have the same cells in sheets of one order."""
    return hash_file(one) == hash_file(other) or _cells(one) == _cells(other)


def _cells(table: Path) -> list[list[list[str]]]:
    sheets = []
    for rows in read_sheets(table).values():
        stripped = [_without_tail([cell.strip() for cell in row]) for row in rows]
        sheets.append([row for row in stripped if row])
    return [sheet for sheet in sheets if sheet]


def _without_tail(row: list[str]) -> list[str]:
    while row and not row[-1]:
        row.pop()
    return row
