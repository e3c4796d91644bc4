"""How large a workbook is, before a reader makes room for it.

A spreadsheet reader holds a sheet as a rectangle. One cell in the last row and the last column of
an otherwise empty sheet makes that seventeen thousand million cells, and the process aborts. So the
places of the cells are looked up in the file first, without keeping them.
"""

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from mol_pipeline.contract.errors import SourceError

MOST_CELLS = 5_000_000
"""Of a workbook's sheets together, empty ones in their rectangles included. The largest table of
this field has 9,000 rows of 30 cells."""
MOST_BYTES = 256 << 20
"""Of a workbook, unpacked; 5 million cells have about this many."""
BLOCK = 1 << 20
LONGEST_TAG = 4096
"""Bytes of a tag with the places of a cell."""

DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What a damaged archive raises."""

_CELL = re.compile(rb'<(?:\w+:)?c\b[^>]*?\br="([^"]{1,64})"')
_ROW = re.compile(rb'<(?:\w+:)?row\b[^>]*?\br="(\d{1,12})"')
_PLAIN = re.compile(rb"<(?:\w+:)?(row|c)\b(?![^>]*?\br=)")
_REPEATED = re.compile(rb'number-(columns|rows)-repeated="(\d{1,12})"')
_PLACE = re.compile(rb"([A-Za-z]{1,7})(\d{1,12})")


def check_workbook(path: Path) -> None:
    """Refuse a workbook that is too large to be an annotation table.

    Args:
        path: Of an xlsx, xlsm, xlsb, ods or xls file; what is no archive passes, and is for the
            reader to refuse. An xls file cannot hold more than 65,536 rows of 256 cells a sheet.

    Raises:
        SourceError: If its cells or bytes are more than the limits above.
    """
    if not zipfile.is_zipfile(path):
        return
    cells = 0
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(one.file_size for one in members)
            if unpacked <= MOST_BYTES:
                cells = sum(_cells(archive, one) for one in members if _is_sheet(one))
    except DAMAGED:
        return  # the reader says so
    if unpacked > MOST_BYTES:
        raise SourceError(
            f"{path}: has {unpacked:,} bytes unpacked, at most {MOST_BYTES:,} are read; save the "
            "table alone"
        )
    if cells > MOST_CELLS:
        raise SourceError(
            f"{path}: its sheets span {cells:,} cells, at most {MOST_CELLS:,} are read; delete "
            "what stands far outside the table, or save it as CSV"
        )


def check_sheet(path: Path, name: str, rows: int, columns: int) -> None:
    """Refuse a sheet before it becomes lists; an xls file says its size nowhere before.

    Raises:
        SourceError: If its cells are more than the limit above.
    """
    if rows * columns > MOST_CELLS:
        raise SourceError(
            f"{path}: sheet {name!r} spans {rows * columns:,} cells, at most {MOST_CELLS:,} are "
            "read; delete what stands far outside the table"
        )


def _is_sheet(member: zipfile.ZipInfo) -> bool:
    name = member.filename.lower().replace("\\", "/")
    return name.endswith(".xml") and (name.endswith("content.xml") or "sheet" in name)


def _cells(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Cells of the rectangle that a sheet spans."""
    rows = columns = plain_rows = in_row = widest = 0
    repeated = {b"rows": 0, b"columns": 0}
    for block in _blocks(archive, member):
        for match in _CELL.finditer(block):
            for letters, number in _PLACE.findall(match.group(1)):
                rows, columns = max(rows, int(number)), max(columns, _column(letters))
        for match in _ROW.finditer(block):
            rows = max(rows, int(match.group(1)))
        for match in _PLAIN.finditer(block):
            in_row = 0 if match.group(1) == b"row" else in_row + 1
            plain_rows += match.group(1) == b"row"
            widest = max(widest, in_row)
        for match in _REPEATED.finditer(block):
            repeated[match.group(1)] = max(repeated[match.group(1)], int(match.group(2)))
    # An ods sheet ends with repeated empty rows or columns; only both together are a rectangle.
    both = max(repeated[b"rows"], 1) * max(repeated[b"columns"], 1) if all(repeated.values()) else 0
    return max((rows + plain_rows) * max(columns, widest), both)


def _blocks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The file in blocks that begin before the last tag of the one before."""
    with archive.open(member) as file:
        rest = b""
        while block := file.read(BLOCK):
            block = rest + block
            cut = block.rfind(b"<")
            cut = len(block) if cut < 0 or len(block) - cut > LONGEST_TAG else cut
            yield block[:cut]
            rest = block[cut:]
        yield rest


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = 26 * number + letter - 64
    return number
