"""Files of tables as rows of text: workbooks and CSV."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.contract.documents import Unreadable, check_ordinary, read_document
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.text import decode_table
from mol_pipeline.databases.workbook_limits import MOST_CELLS, check_sheet, check_workbook

MOST_CSV_BYTES = 256 << 20
"""Two million videos with long names."""

TEXT_SUFFIXES = frozenset({".csv", ".txt", ".tsv"})


_OPENED: ContextVar["dict[Path, OpenedTable] | None"] = ContextVar("opened", default=None)


@dataclass(frozen=True)
class OpenedTable:
    """A table as text."""

    sheets: dict[str, list[list[str]]]
    """By name, in their order."""
    notes: tuple[str, ...] = ()
    """How it was read, where that is not plain."""


def read_sheets(path: Path) -> dict[str, list[list[str]]]:
    """All sheets of a table; see `open_table`."""
    return open_table(path).sheets


@contextmanager
def opened_once() -> Iterator[None]:
    """Within it a table is opened once: a database asks what it says, and reads it again."""
    token = _OPENED.set({})
    try:
        yield
    finally:
        _OPENED.reset(token)


def open_table(path: Path) -> OpenedTable:
    """All sheets of a table as text, not to be changed; merged cells are filled down.

    Raises:
        SourceError: If the file cannot be read: damaged, protected, or no table.
    """
    opened = _OPENED.get()
    if opened is None:
        return _open(path)
    if path not in opened:
        opened[path] = _open(path)
    return opened[path]


def _open(path: Path) -> OpenedTable:
    _require_ordinary(path)
    if path.suffix.lower() in TEXT_SUFFIXES:
        return _read_csv(path)
    from python_calamine import CalamineWorkbook

    check_workbook(path)
    sheets: dict[str, list[list[str]]] = {}
    filled = 0
    try:
        workbook = CalamineWorkbook.from_path(str(path))
        for name in workbook.sheet_names:
            sheet = workbook.get_sheet_by_name(name)
            check_sheet(path, name, sheet.total_height, sheet.total_width)
            rows = [
                [_cell_text(one) for one in row] for row in sheet.to_python(skip_empty_area=False)
            ]
            filled += _fill_down(rows, sheet.merged_cell_ranges or [])
            sheets[name] = rows
    except SourceError:
        raise
    except BaseException as error:  # calamine raises many kinds; a panic in it is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError):
            raise
        if _is_protected(path):
            raise SourceError(
                f"{path}: is protected by a password; save a copy without one and name it "
                "with --annotation"
            ) from error
        raise SourceError(
            f"{path}: cannot be read as a spreadsheet ({error}); it is damaged or cut short: "
            "fetch it again"
        ) from error
    note = f"{path.name}: {filled} empty cells below merged ones are read as those"
    return OpenedTable(sheets, (note,) if filled else ())


def _fill_down(
    rows: list[list[str]], merged: Iterable[tuple[tuple[int, int], tuple[int, int]]]
) -> int:
    """Write the text of each merged cell into the rows that it covers; returns how many."""
    filled = 0
    for (top, left), (bottom, _) in merged:
        text = rows[top][left] if top < len(rows) and left < len(rows[top]) else ""
        for row in rows[top + 1 : bottom + 1] if text and filled < MOST_CELLS else []:
            # A merged cell is the first of its row: others right of it stay empty.
            row += [""] * (left + 1 - len(row))
            row[left] = text
            filled += 1
    return filled


def _read_csv(path: Path) -> OpenedTable:
    try:
        content = read_document(path, MOST_CSV_BYTES)
    except (FileNotFoundError, Unreadable) as error:
        raise SourceError(f"{path}: {error}") from error
    decoded = decode_table(content, path)
    lines = decoded.text.splitlines()[:5]
    comma = max(",;\t", key=lambda mark: sum(line.count(mark) for line in lines))
    try:
        # The text as a file: a line break in quotes belongs to its cell.
        reader = csv.reader(io.StringIO(decoded.text, newline=""), delimiter=comma, strict=True)
        rows = [[one_line(cell) for cell in row] for row in reader]
    except csv.Error as error:
        raise SourceError(
            f"{path}: is no CSV table ({error}); is a quotation mark left open?"
        ) from error
    note = f"{path.name} is read as {decoded.encoding}"
    return OpenedTable({"csv": rows}, () if decoded.is_unicode else (note,))


def _require_ordinary(path: Path) -> None:
    """Refuse a pipe, a device or a folder that is named like a table: reading it would not end."""
    try:
        check_ordinary(path)
    except FileNotFoundError:
        raise SourceError(f"{path}: is not there") from None
    except Unreadable as error:
        raise SourceError(f"{path}: {error}; name the table with --annotation") from error


def _is_protected(path: Path) -> bool:
    """Whether an office file is an encrypted package."""
    try:
        return "EncryptedPackage".encode("utf-16-le") in path.read_bytes()
    except OSError:
        return False


def _cell_text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return one_line(unicodedata.normalize("NFC", str(cell)))


def one_line(text: str) -> str:
    """A cell's text with blanks for line breaks: its words stay apart."""
    return re.sub(r"\s*[\r\n\v\f\x85\u2028\u2029]\s*", " ", text)
