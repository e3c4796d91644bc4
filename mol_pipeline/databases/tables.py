"""Spreadsheets as their owners ship them: notes above the header, text for numbers."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from mol_pipeline.contract.absence import is_absent
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.sheets import open_table, read_sheets

__all__ = [
    "Columns",
    "Row",
    "Table",
    "content_of",
    "has_columns",
    "is_absent",
    "is_below_zero",
    "nearest_number",
    "plain_name",
    "read_sheets",
    "read_table",
    "whole_number",
]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.IGNORECASE)
MOST_DIGITS = 20
"""Of a frame number: nanoseconds since 1970 have 19."""

CHINESE_HEADS: dict[str, tuple[str, ...]] = {
    "path": ("路径",),
    "subject": ("被试", "被试编号", "被试号", "受试者"),
    "filename": ("文件名", "文件", "文件名称", "视频名"),
    "onset": ("起始帧", "起始", "开始帧", "起点"),
    "apex": ("顶点帧", "顶点", "峰值帧", "峰值", "高峰帧"),
    "offset": ("结束帧", "结束", "终止帧", "终点"),
    "emotion": ("情绪", "情绪类别", "表情", "表情类别"),
    "label": ("标签", "情绪", "表情"),
    "action_units": ("动作单元", "面部动作单元", "运动单元"),
    "objective_class": ("客观类别",),
}
"""Our name of a column -> what it is called in Chinese; tables of Chinese databases have both."""

Columns = Mapping[str, tuple[str, ...]]
"""Our name of a column -> the owners' names for it."""


def plain_name(header: str) -> str:
    """A column name without case, blanks and punctuation: `Onset Frame` is `onsetframe`.

    Letters and signs of every script count; wide forms are as good as plain ones.
    """
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", header).lower()))


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


def is_below_zero(text: str, *, fractions_only: bool = False) -> bool:
    """Whether a cell holds a number below 0.

    Args:
        text: The cell.
        fractions_only: Leave out whole numbers.
    """
    text = text.strip()
    if not text.startswith("-") or not NUMBER.fullmatch(text):
        return False
    value = Decimal(text)
    return value < 0 and not (fractions_only and value == value.to_integral_value())


@dataclass(frozen=True)
class Row:
    """One data row; columns by our names."""

    number: int
    """Row in the table, from 1, for messages."""
    cells: Mapping[str, str]
    line: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    """Header and cell of every column, in their order; without a header none."""

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
    wanted, extra = _spellings(columns), _spellings(optional or {})
    opened = open_table(path)
    sheets = {
        name: rows
        for name, rows in opened.sheets.items()
        if sheet is None or name.strip().lower() == sheet.lower()
    }
    found = _under_headers(sheets, wanted, extra)
    by_name, notes = found.sheets, [*opened.notes, *found.notes]
    if not by_name and positional is not None and len(found.lacking) >= len(wanted) - 1:
        by_name = {
            name: tuple(_data_rows(rows, 0, positional))
            for name, rows in sheets.items()
            if any(positional(row) is not None for row in rows)
        }
    if by_name:
        rows_of_first, more = _first_of(by_name)
        return Table(rows_of_first, (*notes, *more))
    if len(found.lacking) < len(wanted) - 1:
        spelled = ", ".join(columns[name][0] for name in found.lacking)
        raise SourceError(f"{path}: the header row lacks the column(s) {spelled}")
    spelled = ", ".join(names[0] for names in columns.values())
    raise SourceError(
        f"{path}: no header row with {spelled}; is it the owners' annotation file? "
        "name the right one with --annotation"
    )


@dataclass(frozen=True)
class _UnderHeaders:
    """The sheets of a table that have the header."""

    sheets: Mapping[str, tuple[Row, ...]]
    """Name -> data rows, in their order."""
    lacking: Sequence[str]
    """Columns that the best header of a sheet without all of them lacks."""
    notes: Sequence[str]


def _under_headers(
    sheets: Mapping[str, Sequence[Sequence[str]]],
    wanted: Mapping[str, set[str]],
    extra: Mapping[str, set[str]],
) -> _UnderHeaders:
    lacking: list[str] = sorted(wanted)
    found: dict[str, tuple[Row, ...]] = {}
    notes: list[str] = []
    for name, rows in sheets.items():
        position, absent = _header(rows, wanted)
        if absent:
            lacking = min(lacking, absent, key=len)
            continue
        places = _places({**wanted, **extra}, rows[position])
        if not found:
            notes += _repeated_columns(wanted, rows[position:], places)
        head = tuple(cell.strip() for cell in rows[position])
        found[name] = tuple(_data_rows(rows, position + 1, _always(places), head))
    return _UnderHeaders(found, lacking, notes)


def _first_of(sheets: Mapping[str, tuple[Row, ...]]) -> tuple[tuple[Row, ...], list[str]]:
    """The rows of the first sheet, and notes on others that say something else."""
    (first, rows), *others = sheets.items()
    cells = [row.cells for row in rows]
    notes = [
        f"sheet {first!r} is read; {name!r} has the same columns and other rows, not read"
        for name, other in others
        if other and [row.cells for row in other] != cells
    ]
    return rows, notes


def _spellings(columns: Columns) -> dict[str, set[str]]:
    return {
        name: {plain_name(one) for one in (*names, *CHINESE_HEADS.get(name, ()))}
        for name, names in columns.items()
    }


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
    head: tuple[str, ...] = (),
) -> Iterator[Row]:
    for position in range(first, len(rows)):
        row = rows[position]
        if not any(row):
            continue
        places = places_of(row)
        if places is None:
            continue
        cells = {name: _cell(row, index) for name, index in places.items()}
        if any(cells.values()):
            line = tuple((name, _cell(row, index)) for index, name in enumerate(head))
            yield Row(number=position + 1, cells=cells, line=line)


def _plain_cell(text: str) -> str:
    """A cell without surrounding blanks, and a whole number without decimals (`46.0`)."""
    text = text.strip()
    return text.split(".")[0] if re.fullmatch(r"-?\d+\.0+", text) else text


def has_columns(path: Path, columns: Columns) -> bool:
    """Whether a file is a table with these columns."""
    return content_of(path, columns) is not None


def content_of(
    path: Path, columns: Columns, optional: Columns | None = None
) -> list[Mapping[str, str]] | None:
    """What a file says in these columns; None if it is no table with them."""
    try:
        return [row.cells for row in read_table(path, columns, optional=optional)]
    except SourceError:
        return None
