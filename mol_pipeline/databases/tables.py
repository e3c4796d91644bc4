"""Spreadsheets as their owners ship them: notes above the header, text for numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.errors import SourceError

MISSING_WORDS = frozenset({"", "/", "?", "-", "nan", "none", "n/a"})
"""Cells that mean: not annotated."""


@dataclass(frozen=True)
class Row:
    """One data row; columns by their name in lower case."""

    number: int
    """Row in the spreadsheet, from 1, for messages."""
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """Cell as text without surrounding blanks; empty if the column is absent."""
        return self.cells.get(column, "")

    def integer(self, column: str) -> int | None:
        """Cell as a whole number (`46`, `46.0`, `'46 '`), None where it is not annotated.

        Raises:
            ValueError: If the cell holds anything else.
        """
        text = self.text(column)
        if text.lower() in MISSING_WORDS:
            return None
        value = float(text)
        if not math.isfinite(value):
            return None
        if value != int(value):
            raise ValueError(f"{column} is {text!r}, which is no whole number")
        return int(value)


def read_table(path: Path, *, first_column: str, required: Sequence[str]) -> Iterator[Row]:
    """Rows of the first sheet that has the header, found by content.

    The header is the row that holds every required column name, compared after strip
    and lower-case; `first_column` must be among them. Unnamed columns are ignored, and
    of two columns with one name the first counts. Empty rows are skipped.

    Raises:
        SourceError: If the file cannot be read or no row is the header.
    """
    wanted = {name.lower() for name in required} | {first_column.lower()}
    seen: list[str] = []
    for rows in _sheets(path):
        for position, row in enumerate(rows):
            names = [cell.strip().lower() for cell in row]
            if first_column.lower() in names:
                seen.append(", ".join(name for name in names if name))
            if wanted <= set(names):
                return _data_rows(rows, position, names)
    if seen:
        raise SourceError(
            f"{path}: no header row with the columns {sorted(wanted)}; nearest: {seen[0]}"
        )
    raise SourceError(
        f"{path}: no row holds a cell {first_column!r}; is it the owners' annotation file?"
    )


def _data_rows(rows: list[list[str]], header: int, names: list[str]) -> Iterator[Row]:
    columns: dict[str, int] = {}
    for index, name in enumerate(names):
        if name:
            columns.setdefault(name, index)
    for position in range(header + 1, len(rows)):
        row = rows[position]
        cells = {name: row[i].strip() if i < len(row) else "" for name, i in columns.items()}
        if any(cells.values()):
            yield Row(number=position + 1, cells=cells)


def _sheets(path: Path) -> list[list[list[str]]]:
    from python_calamine import CalamineWorkbook

    try:
        workbook = CalamineWorkbook.from_path(str(path))
        return [
            [
                [_cell_text(cell) for cell in row]
                for row in workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
            ]
            for name in workbook.sheet_names
        ]
    except Exception as error:  # calamine raises many kinds: damage, passwords, other formats
        raise SourceError(
            f"{path}: cannot be read as a spreadsheet ({error}); "
            "is it complete, and saved without a password?"
        ) from error


def _cell_text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
