"""Finding the owners' table below a root: by name, then by columns, then by content."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.files import hash_file
from mol_pipeline.databases.files import find_annotations, unpack_hint
from mol_pipeline.databases.sheets import read_sheets

Content = Callable[[Path], object]
"""From a file to what it says in the columns that are read; None if it is no such table."""

VERSION = re.compile(r"[_\- .]v(?:er)?[_.]?(\d+)(?:[_\-](20\d{6}))?(?!\d)", re.IGNORECASE)


def version_of(table: Path) -> tuple[int, int]:
    """Version and date in a table's name (`..._v2_20250903.xlsx`); zeros without."""
    match = VERSION.search(table.stem)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def find_annotation(
    root: Path,
    patterns: Sequence[str],
    title: str,
    override: Path | None,
    content: Content,
    *,
    newest: bool = False,
) -> tuple[Path, tuple[str, ...]]:
    """Find the annotation file of a release by name, then by content.

    Args:
        root: Of the release.
        patterns: Of file names, case aside.
        title: Of the database, for messages.
        override: The file that the user named.
        content: What a file says; asked only if several fit by name.
        newest: Of several versions the owners' newest is meant, by the number in its name.

    Returns:
        The table, and notes on others that are not used.

    Raises:
        SourceError: If there is none, or several that differ.
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
        found = [path for path in found if content(path) is not None] or found
    notes: tuple[str, ...] = ()
    if newest:
        found, notes = _newest(found, root)
    table, more = one_of(found, root, content)
    return table, (*notes, *more)


def _newest(tables: Sequence[Path], root: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The tables of the highest version, and a note on the older ones."""
    last = max(map(version_of, tables))
    used = [path for path in tables if version_of(path) == last]
    older = ", ".join(_shown(path, root) for path in tables if version_of(path) != last)
    if not older:
        return used, ()
    return used, (f"annotation {used[0].name} is used; it supersedes {older}",)


def one_of(
    tables: Sequence[Path], root: Path, content: Content = lambda _: None
) -> tuple[Path, tuple[str, ...]]:
    """The first of several tables that all say the same, and a note on the others.

    Args:
        tables: At least one.
        root: They lie below it.
        content: See `find_annotation`.

    Raises:
        SourceError: If two of them differ.
    """
    first = tables[0]
    differ = [other for other in tables[1:] if not _say_the_same(first, other, content)]
    if len({path.name.lower() for path in (first, *differ)}) > 1:
        names = ", ".join(_shown(path, root) for path in tables)
        raise SourceError(f"{root}: several annotations ({names}); choose one with --annotation")
    if differ:
        names = " and ".join(_shown(path, root) for path in (first, differ[0]))
        raise SourceError(
            f"{root}: several annotations: {names} have one name and say different things; "
            "choose one with --annotation"
        )
    others = ", ".join(_shown(path, root) for path in tables[1:])
    if not others:
        return first, ()
    return first, (f"annotation {_shown(first, root)} is used; the same is in {others}",)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _say_the_same(one: Path, other: Path, content: Content) -> bool:
    """Whether two tables are the same file, or have the same cells, all or those that are read."""
    if hash_file(one) == hash_file(other) or _cells(one) == _cells(other):
        return True
    said = content(one)
    return said is not None and said == content(other)


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
