"""CASME II (Yan et al. 2014) as its owners ship it, in either coding.

    CASME2_RAW_selected/sub01/EP02_01f/img46.jpg    onset..offset only
    CASME2-RAW/sub01/EP02_01f/img1.jpg              with neutral frames around
    Cropped/sub01/EP02_01f/reg_img46.jpg            registered faces
    CASME2-coding-20140508.xlsx                     or -20190701: other labels for three clips
    CASME2-ObjectiveClasses.xlsx                    objective classes, also a column of 2019

Convention: annotated frames are the numbers in the file names, which are not padded.
Clip names repeat across subjects.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

from mol_pipeline.databases import objective_classes
from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import TableFormat, annotated_clip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.tables import Row, read_table

SUBJECT_FOLDER = re.compile(r"^s(?:ub)?0*(\d+)$")
TABLE = TableFormat(
    patterns=(
        "CASME2*coding*.xls*",
        "CASME2*label*.xls*",
        "CASME*II*coding*.xls*",
        "CASME2*coding*.csv",
    ),
    columns={
        "subject": ("Subject", "Sub"),
        "filename": ("Filename",),
        "onset": ("OnsetFrame", "Onset"),
        "apex": ("ApexFrame", "ApexFrame1", "Apex"),
        "offset": ("OffsetFrame", "Offset"),
        "emotion": ("Estimated Emotion", "Emotion"),
    },
    optional={
        "action_units": ("Action Units", "AUs", "AU"),
        "objective_class": ("Objective Classes", "Objective Class"),
    },
)
TRIMMED, FULL, CROPPED = 0, 1, 2
RELABELLED = "24"
"""Subject whose labels differ between the codings: sadness in 2014, surprise in 2019."""


class Casme2(Adapter):
    """Adapter of CASME II."""

    name = "casme2"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List the clips of CASME II."""
        builder = IndexBuilder(self.name, request, rank=_rank)
        table, rows = builder.tables.read(TABLE)
        edition = _edition(rows)
        rows = _with_objective_classes(builder, rows)
        for row in rows:
            clip = row.text("filename")
            subject = subject_number(row.text("subject"))
            annotated = annotated_clip(row, TABLE, subject=subject)
            builder.add(
                annotated,
                builder.folders.named(clip, partial(is_of_subject, subject)),
            )
        builder.note(f"labels are those of the {edition} coding")
        if edition == "2019":
            builder.warn(
                "of the 2019 coding 148 clips take part in megc2019 where MEGC 2019 has 145: a "
                "composite with them has 445 clips, published are 442 (2014 coding)"
            )
        builder.reject_folders(clip_of_folder)
        return builder.finish(table, edition=edition)


def _with_objective_classes(builder: IndexBuilder, rows: list[Row]) -> list[Row]:
    """The rows with the classes of the owners' separate file, if it is there."""
    found = builder.tables.beside(objective_classes.PATTERNS)
    if found is None:
        return rows
    classes = builder.tables.noted(
        read_table(found, objective_classes.COLUMNS, optional=objective_classes.NAMES)
    )
    joined = objective_classes.join_objective_classes(found, rows, classes, _key)
    for note in joined.notes:
        builder.note(note)
    return list(joined.rows)


def _key(row: Row) -> tuple[str, str]:
    return subject_number(row.text("subject")), row.text("filename").lower()


def _edition(rows: Sequence[Row]) -> str:
    """Which coding it is: three clips of one subject are sadness in 2014, surprise in 2019."""
    words = Counter(
        row.text("emotion").lower()
        for row in rows
        if subject_number(row.text("subject")) == RELABELLED
    )
    if words["sadness"]:
        return "2014"
    has_classes = any(row.text(objective_classes.FIELD) for row in rows)
    return "2019" if words["surprise"] > 1 or has_classes else "2014"


def subject_number(text: str) -> str:
    """CASME's way to write a subject: two digits (`01`, from `1`, `1.0` or `sub01`)."""
    match = SUBJECT_FOLDER.match(text.lower())
    digits = match.group(1) if match else text
    return digits.zfill(2) if digits.isdigit() else text


def _rank(parts: tuple[str, ...]) -> int:
    if any("crop" in part for part in parts):
        return CROPPED
    return TRIMMED if any("selected" in part for part in parts) else FULL


def is_of_subject(subject: str, folder: FrameFolder) -> bool:
    """Whether a clip's folder lies in the folder of a subject."""
    return subject_number(folder.parent) == subject


def clip_of_folder(folder: FrameFolder) -> tuple[str, str] | None:
    """Subject and clip of a folder, None if it lies in no subject's folder."""
    if not SUBJECT_FOLDER.match(folder.parent.lower()):
        return None
    return subject_number(folder.parent), folder.leaf
