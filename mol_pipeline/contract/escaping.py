"""Names from elsewhere in what other programs interpret: tables, links, Markdown.

A person's clip may be called `=HYPERLINK(...)`, `a#b?.mp4` or `**x** | y`. Such a name is data.
"""

import csv
import re
import urllib.parse
from collections.abc import Iterable
from typing import Protocol

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""With one of these a spreadsheet program takes a cell for a formula, or the next cell for one."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")
MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$&])")


class _File(Protocol):
    def write(self, text: str, /) -> object: ...


class TableWriter:
    """Writes every CSV file of both programs.

    A text that a spreadsheet program would take for a formula gets an apostrophe in front, which
    such programs do not show; numbers stay as they are.

    Args:
        file: Opened with `newline=""`.
    """

    def __init__(self, file: _File) -> None:
        self._writer = csv.writer(file)

    def row(self, cells: Iterable[object]) -> None:
        """Write one line."""
        self._writer.writerow([_cell(cell) for cell in cells])


def _cell(cell: object) -> object:
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def link(path: str) -> str:
    """A relative path, with forward slashes, as the address in an HTML attribute."""
    return urllib.parse.quote(path, safe="/", errors="surrogateescape")


def markdown(text: object) -> str:
    """A text inside a line of Markdown, which then shows it as it is."""
    return MARKDOWN.sub(r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    """A text between the backticks of Markdown."""
    return " ".join(str(text).replace("`", "'").split())
