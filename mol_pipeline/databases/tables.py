"""Spreadsheets as their owners ship them: notes above the header, text for numbers."""

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.errors import SourceError

MISSING_WORDS = frozenset({"", "/", "?", "-", "nan", "none", "n/a"})
"""Cells that mean: not annotated."""

Columns = Mapping[str, tuple[str, ...]]
"""Our name of a column -> the owners' names for it."""


def plain_name(header: str) -> str:
    """A column name without case, blanks and punctuation: `Onset Frame` is `onsetframe`."""
    return re.sub(r"[^0-9a-z]", "", header.lower())


def whole_number(text: str) -> int | None:
    """A cell as a whole number (`46`, `46.0`, `'46 '`), None where it is not annotated.

    Raises:
        ValueError: If the cell holds anything else.
    """
    text = text.strip()
    if text.lower() in MISSING_WORDS:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if math.isnan(value):
        return None
    if not math.isfinite(value) or value != int(value):
        raise ValueError(f"{text!r} is no whole number")
    return int(value)


@dataclass(frozen=True)
class Row:
    """One data row; columns by our names."""

    number: int
    """Row in the table, from 1, for messages."""
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """Cell as text without surrounding blanks; empty if the column is absent."""
        return self.cells.get(column, "")

    @property
    def where(self) -> str:
        """For messages."""
        return f"annotation row {self.number}"


def read_table(
    path: Path,
    columns: Columns,
    *,
    optional: Columns | None = None,
    sheet: str | None = None,
    positional: Callable[[Sequence[str]], Mapping[str, int] | None] | None = None,
) -> Iterator[Row]:
    """Rows of the first sheet that has the header, which is found by content.

    The header is the row that names every column, compared by `plain_name`; of two columns
    with one name the first counts, and unnamed columns are ignored. Empty rows are skipped.

    Args:
        path: xlsx, xls or csv.
        columns: Columns that must be there.
        optional: Columns that may be there.
        sheet: Only the sheet of this name, case aside.
        positional: For tables without a header: from a row to the place of each column,
            or None if the row is no data row.

    Raises:
        SourceError: If the file cannot be read or no row is the header.
    """
    wanted = {name: {plain_name(one) for one in names} for name, names in columns.items()}
    extra = {name: {plain_name(one) for one in names} for name, names in (optional or {}).items()}
    nearest: tuple[int, list[str]] = (0, [])
    sheets = read_sheets(path)
    for name, rows in sheets.items():
        if sheet is not None and name.strip().lower() != sheet.lower():
            continue
        for position, row in enumerate(rows):
            names = [plain_name(cell) for cell in row]
            present = [column for column, spellings in wanted.items() if spellings & set(names)]
            if len(present) == len(wanted):
                places = _places({**wanted, **extra}, names)
                return _data_rows(rows, position + 1, _always(places))
            if len(present) > nearest[0]:
                nearest = (len(present), sorted(set(wanted) - set(present)))
    if positional is not None and nearest[0] <= 1:
        for rows in sheets.values():
            if any(positional(row) is not None for row in rows):
                return _data_rows(rows, 0, positional)
    if nearest[0] > 1:
        spelled = ", ".join(columns[name][0] for name in nearest[1])
        raise SourceError(f"{path}: the header row lacks the column(s) {spelled}")
    spelled = ", ".join(names[0] for names in columns.values())
    raise SourceError(
        f"{path}: no header row with {spelled}; is it the owners' annotation file? "
        "name the right one with --annotation"
    )


def _always(places: Mapping[str, int]) -> Callable[[Sequence[str]], Mapping[str, int]]:
    return lambda _: places


def _places(wanted: Mapping[str, set[str]], names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for index, name in enumerate(names):
        for column, spellings in wanted.items():
            if name in spellings:
                found.setdefault(column, index)
    return found


def _data_rows(
    rows: Sequence[Sequence[str]],
    first: int,
    places_of: Callable[[Sequence[str]], Mapping[str, int] | None],
) -> Iterator[Row]:
    for position in range(first, len(rows)):
        row = rows[position]
        places = places_of(row)
        if places is None:
            continue
        cells = {name: _plain_cell(row[i]) if i < len(row) else "" for name, i in places.items()}
        if any(cells.values()):
            yield Row(number=position + 1, cells=cells)


def read_sheets(path: Path) -> dict[str, list[list[str]]]:
    """All sheets of a table as text, by name, in their order.

    Raises:
        SourceError: If the file cannot be read: damaged, protected, or no table.
    """
    if path.suffix.lower() in {".csv", ".txt"}:
        return {"csv": _read_csv(path)}
    from python_calamine import CalamineWorkbook

    try:
        workbook = CalamineWorkbook.from_path(str(path))
        return {
            name: [
                [_cell_text(cell) for cell in row]
                for row in workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
            ]
            for name in workbook.sheet_names
        }
    except Exception as error:  # calamine raises many kinds
        if _is_protected(path):
            raise SourceError(
                f"{path}: is protected by a password; save a copy without one and name it "
                "with --annotation"
            ) from error
        raise SourceError(
            f"{path}: cannot be read as a spreadsheet ({error}); it is damaged or cut short: "
            "fetch it again"
        ) from error


def _read_csv(path: Path) -> list[list[str]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
    if b"\0" in content:
        raise SourceError(f"{path}: is no text file; save the table as CSV in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("gb18030", errors="replace")  # as spreadsheets in China save it
    lines = text.splitlines()
    comma = max(",;\t", key=lambda mark: sum(line.count(mark) for line in lines[:5]))
    try:
        return [list(row) for row in csv.reader(lines, delimiter=comma)]
    except csv.Error as error:
        raise SourceError(f"{path}: is no CSV table ({error})") from error


def _is_protected(path: Path) -> bool:
    """Whether an office file is an encrypted package."""
    try:
        return "EncryptedPackage".encode("utf-16-le") in path.read_bytes()
    except OSError:
        return False


def _plain_cell(text: str) -> str:
    """A cell without surrounding blanks, and a whole number without decimals (`46.0`)."""
    text = text.strip()
    return text.split(".")[0] if re.fullmatch(r"-?\d+\.0+", text) else text


def _cell_text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def has_columns(path: Path, columns: Columns) -> bool:
    """Whether a file is a table with these columns."""
    try:
        read_table(path, columns)
    except SourceError:
        return False
    return True
