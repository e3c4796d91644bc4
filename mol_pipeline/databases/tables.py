"""Spreadsheets as their owners ship them: notes above the header, text for numbers."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from mol_pipeline.errors import SourceError

MISSING_WORDS = frozenset({"", "/", "?", "-", "nan", "none", "n/a"})
"""Cells that mean: not annotated."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.IGNORECASE)
MOST_DIGITS = 20
"""Of a frame number: nanoseconds since 1970 have 19."""

Columns = Mapping[str, tuple[str, ...]]
"""Our name of a column -> the owners' names for it."""


def is_absent(text: str) -> bool:
    """Whether a cell says that something is not annotated."""
    return text.strip().lower() in MISSING_WORDS


def plain_name(header: str) -> str:
    """A column name without case, blanks and punctuation: `Onset Frame` is `onsetframe`."""
    return re.sub(r"[^0-9a-z]", "", header.lower())


def whole_number(text: str) -> int | None:
    """A cell as a whole number (`46`, `46.0`, `'46 '`), None where it is not annotated.

    Raises:
        ValueError: If the cell holds anything else.
    """
    value, exact = nearest_number(text)
    if not exact:
        raise ValueError(f"{text.strip()!r} is no whole number")
    return value


def nearest_number(text: str) -> tuple[int | None, bool]:
    """A cell as the nearest whole number, and whether it is one: half a frame goes up.

    Owners convert times to frames, and write what comes out (`123.7`).

    Raises:
        ValueError: If the cell holds no number, a negative fraction, or one with more than
            `MOST_DIGITS` digits.
    """
    text = text.strip()
    if is_absent(text):
        return None, True
    shown = repr(text if len(text) <= 40 else f"{text[:40]}...")
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{shown} is no number")
    value = Decimal(text)
    if value.adjusted() >= MOST_DIGITS or len(text) > 10 * MOST_DIGITS:
        raise ValueError(f"{shown} is a number of more than {MOST_DIGITS} digits")
    nearest = int(value.to_integral_value(ROUND_HALF_UP))
    if value != nearest and value < 0:
        raise ValueError(f"{shown} is negative")
    return nearest, value == nearest


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


@dataclass(frozen=True)
class Table:
    """The data rows of a table, and what was left aside to get them."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


def read_table(
    path: Path,
    columns: Columns,
    *,
    optional: Columns | None = None,
    sheet: str | None = None,
    positional: Callable[[Sequence[str]], Mapping[str, int] | None] | None = None,
) -> Table:
    """Rows of the first sheet that has the header, which is found by content.

    The header is the row that names every column, compared by `plain_name`; of two columns
    with one name the first counts, and unnamed columns are ignored. Empty rows are skipped.
    Further columns of one name and further sheets with the header are noted, if they say
    something else.

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
    sheets = {
        name: rows
        for name, rows in read_sheets(path).items()
        if sheet is None or name.strip().lower() == sheet.lower()
    }
    lacking: list[str] = sorted(wanted)
    found: list[tuple[str, tuple[Row, ...]]] = []
    notes: list[str] = []
    for name, rows in sheets.items():
        position, absent = _header(rows, wanted)
        if absent:
            lacking = min(lacking, absent, key=len)
            continue
        places = _places({**wanted, **extra}, rows[position])
        if not found:
            notes += _repeated_columns(wanted, rows[position:], places)
        found.append((name, tuple(_data_rows(rows, position + 1, _always(places)))))
    if not found and positional is not None and len(lacking) >= len(wanted) - 1:
        found = [
            (name, tuple(_data_rows(rows, 0, positional)))
            for name, rows in sheets.items()
            if any(positional(row) is not None for row in rows)
        ]
    if found:
        first, rows_of_first = found[0]
        cells = [row.cells for row in rows_of_first]
        notes += [
            f"sheet {first!r} is read; {name!r} has the same columns and other rows, not read"
            for name, rows_of_other in found[1:]
            if rows_of_other and [row.cells for row in rows_of_other] != cells
        ]
        return Table(rows_of_first, tuple(notes))
    if len(lacking) < len(wanted) - 1:
        spelled = ", ".join(columns[name][0] for name in lacking)
        raise SourceError(f"{path}: the header row lacks the column(s) {spelled}")
    spelled = ", ".join(names[0] for names in columns.values())
    raise SourceError(
        f"{path}: no header row with {spelled}; is it the owners' annotation file? "
        "name the right one with --annotation"
    )


def _header(rows: Sequence[Sequence[str]], wanted: Mapping[str, set[str]]) -> tuple[int, list[str]]:
    """Position of the row that is most like the header, and the columns that it lacks."""
    best: tuple[int, list[str]] = (0, sorted(wanted))
    for position, row in enumerate(rows):
        names = {plain_name(cell) for cell in row if cell}
        absent = sorted(column for column, spellings in wanted.items() if not spellings & names)
        if len(absent) < len(best[1]):
            best = position, absent
        if not absent:
            break
    return best


def _repeated_columns(
    wanted: Mapping[str, set[str]], rows: Sequence[Sequence[str]], places: Mapping[str, int]
) -> Iterator[str]:
    """Notes on further columns of a name that say something else than the one that is read."""
    for column, spellings in wanted.items():
        first = places[column]
        for index, name in enumerate(rows[0]):
            if index == first or plain_name(name) not in spellings:
                continue
            if any(_cell(row, index) != _cell(row, first) for row in rows[1:]):
                yield (
                    f"columns {rows[0][first].strip()!r} and {name.strip()!r} are both "
                    f"{column} and differ; the first is read"
                )


def _cell(row: Sequence[str], index: int) -> str:
    return _plain_cell(row[index]) if index < len(row) else ""


def _always(places: Mapping[str, int]) -> Callable[[Sequence[str]], Mapping[str, int]]:
    return lambda _: places


def _places(wanted: Mapping[str, set[str]], header: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for index, name in enumerate(map(plain_name, header)):
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
        cells = {name: _cell(row, index) for name, index in places.items()}
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
