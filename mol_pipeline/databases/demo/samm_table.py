"""A spreadsheet in the form of SAMM's: notes above the header, formulas, text numbers."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import xlsxwriter

HEADER = (
    "Subject",
    "Filename",
    "Inducement Code",
    "Onset Frame",
    "Apex Frame",
    "Offset Frame",
    "Duration",
    "Micro",
    "Action Units",
    "Estimated Emotion",
    "Objective Classes",
    "Notes",
)
HEADER_ROW = 14
"""From 1; rows 1 to 12 are notes, row 13 is blank."""
OBJECTIVE_CLASSES = {"Happiness": 1, "Surprise": 2, "Anger": 3, "Contempt": 7, "Other": 7}


@dataclass(frozen=True)
class TableRow:
    """One annotated clip."""

    subject: str
    clip: str
    onset: int
    apex: int
    offset: int
    action_units: str
    emotion: str


def write_samm_table(path: Path, rows: Sequence[TableRow]) -> None:
    """Write the rows, sorted by clip, so that equal rows give equal bytes."""
    with xlsxwriter.Workbook(str(path)) as book:
        created = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC).replace(tzinfo=None)
        book.set_properties({"title": "SYNTHETIC", "created": created})
        sheet = book.add_worksheet("MICRO_ONLY")
        sheet.write_string(0, 0, "SYNTHETIC DATA made by 'molprep demo': every row is invented.")
        for note in range(1, HEADER_ROW - 2):
            sheet.write_string(note, 0, f"Note {note}: imitates the form of SAMM's table only.")
        for column, name in enumerate(HEADER):
            sheet.write_string(HEADER_ROW - 1, column, name)
        for i, row in enumerate(sorted(rows, key=lambda row: (row.subject, row.clip))):
            at = HEADER_ROW + i
            sheet.write_string(at, 0, row.subject)
            sheet.write_string(at, 1, row.clip)
            sheet.write_number(at, 2, int(row.clip.split("_")[1]))
            for column, number in zip((3, 4, 5), (row.onset, row.apex, row.offset), strict=True):
                sheet.write_number(at, column, number)
            formula = f"=SUM(F{at + 1}-D{at + 1})+1"
            sheet.write_formula(at, 6, formula, None, row.offset - row.onset + 1)
            sheet.write_string(at, 7, "Micro - 1/2")
            if row.action_units.isdigit():
                sheet.write_number(at, 8, int(row.action_units))
            else:
                sheet.write_string(at, 8, row.action_units)
            sheet.write_string(at, 9, row.emotion)
            sheet.write_number(at, 10, OBJECTIVE_CLASSES[row.emotion])
