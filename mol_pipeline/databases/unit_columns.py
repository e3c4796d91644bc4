"""Action units that a table writes in columns of their own, as text in the usual notation.

    AU, AU.1, ...       one cell, or several side by side, all of them meant
    AU, (unnamed), ...  the same, as merged heads are stored
    AU1, AU2, AU4, ...  a column a unit: 1 where it moves, 0 or nothing where it does not
    AU1, AU2, AU3, ...  places, filled from the left, with the number of a unit in each

Which of the last two is meant is seen from all cells together, never from one row; columns that
hold neither are left unread, and it is said.

Source:
    Decision record 0030.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mol_pipeline.contract.absence import is_absent
from mol_pipeline.contract.action_units import UNITS
from mol_pipeline.contract.unit_notation import read_action_units
from mol_pipeline.databases.tables import Row

PLAIN = re.compile(r"(?:action ?units?|aus?)(?:\.\d+)?")
NUMBERED = re.compile(r"(?:action ?unit|au)[ _-]?0*([1-9]\d?)")
NONE_MOVES = "none"
HIGHEST_INTENSITY = 5
"""Units are rated 0 to 5: numbers up to it may be such ratings."""


@dataclass(frozen=True)
class UnitColumns:
    """What a table's columns of action units say."""

    texts: Mapping[int, str] = field(default_factory=dict)
    """Row -> text; rows that say nothing are absent."""
    notes: tuple[str, ...] = ()


def read_unit_columns(rows: Sequence[Row]) -> UnitColumns:
    """Read the columns of action units of a table.

    Args:
        rows: All of its rows.

    Returns:
        The text of each row. Where columns of one unit each stand beside a text, the text counts;
        how many rows differ is a note.
    """
    written = {row.number: _joined(row.line) for row in rows}
    numbered = {row.number: _numbered(row.line) for row in rows}
    flags, notes = _from_numbered(numbered)
    texts = {number: text or flags.get(number, "") for number, text in written.items()}
    differ = [number for number, text in flags.items() if _differ(written[number], text)]
    if differ:
        notes.append(
            f"{len(differ)} row(s) name other action units in a cell than in the columns of single "
            f"units; the cell counts; first: annotation row {differ[0]}"
        )
    return UnitColumns({number: text for number, text in texts.items() if text}, tuple(notes))


def _plain(head: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", head).lower().split())


def _joined(line: Iterable[tuple[str, str]]) -> str:
    """The cells under `AU`, those of the same name, and those to the right without a name."""
    cells: list[str] = []
    inside = False
    for head, cell in line:
        name = _plain(head)
        inside = bool(PLAIN.fullmatch(name)) or (inside and not name)
        if inside and not is_absent(cell):
            cells.append(cell)
    return "+".join(cells)


def _numbered(line: Iterable[tuple[str, str]]) -> dict[int, str]:
    """Number in a column's name -> cell, in the order of the columns."""
    found: dict[int, str] = {}
    for head, cell in line:
        match = NUMBERED.fullmatch(_plain(head))
        if match:
            found.setdefault(int(match[1]), cell)
    return found


def _from_numbered(rows: Mapping[int, Mapping[int, str]]) -> tuple[dict[int, str], list[str]]:
    """Text of each row by its numbered columns, and notes on those that are not read."""
    columns = list(next(iter(rows.values()), {}))
    if not columns:
        return {}, []
    cells = [cell for row in rows.values() for cell in row.values()]
    filled = {cell for cell in cells if not is_absent(cell)}
    if filled <= {"0", "1"}:
        strangers = [number for number in columns if number not in UNITS]
        notes = [f"column(s) {_listed(strangers)} name no action unit"] * bool(strangers)
        return {number: _of_flags(row) for number, row in rows.items() if any(row.values())}, notes
    if _are_places(columns, filled):
        return {
            number: "+".join(cell for cell in row.values() if not is_absent(cell) and cell != "0")
            for number, row in rows.items()
        }, []
    strange = min(filled - {"0", "1"})
    return {}, [
        f"column(s) {_listed(columns)} hold {strange!r}: neither 0 and 1 nor numbers of units; "
        "they are not read"
    ]


def _of_flags(row: Mapping[int, str]) -> str:
    said = {"1": "{}", "?": "{}?"}
    named = [said[cell].format(n) for n, cell in row.items() if cell in said and n in UNITS]
    return "+".join(named) or NONE_MOVES


def _are_places(columns: Sequence[int], filled: Iterable[str]) -> bool:
    """Whether numbered columns are places for units: counted from 1, with units in them.

    Numbers up to 5 alone may be ratings of how strong a unit is.
    """
    coded = [read_action_units(cell) for cell in filled if cell != "0"]
    readable = all(one.coded and not one.unread for one in coded)
    highest = max((unit.unit for one in coded for unit in one.coded), default=0)
    counted = sorted(columns) == list(range(1, len(columns) + 1))
    return counted and readable and highest > HIGHEST_INTENSITY


def _differ(written: str, flagged: str) -> bool:
    """Whether a text and a row of single units certainly say different things of a unit."""
    if not written or not flagged:
        return False
    one, other = read_action_units(written), read_action_units(flagged)
    named = {coded.unit for reading in (one, other) for coded in reading.coded}
    static = {coded.unit for coded in one.coded if coded.state != "present"}
    return any(
        None not in (one.value(unit), other.value(unit)) and one.value(unit) != other.value(unit)
        for unit in named - static
    )


def _listed(columns: Sequence[int]) -> str:
    names = [f"AU{number}" for number in columns]
    return ", ".join(names) if len(names) <= 4 else f"{names[0]} .. {names[-1]}"
