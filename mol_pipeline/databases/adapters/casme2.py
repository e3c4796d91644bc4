"""CASME II (Yan et al. 2014) as its owners ship it, in either coding.

    CASME2_RAW_selected/sub01/EP02_01f/img46.jpg    onset..offset only
    CASME2-RAW/sub01/EP02_01f/img1.jpg              with neutral frames around
    Cropped/sub01/EP02_01f/reg_img46.jpg            registered faces
    CASME2-coding-20140508.xlsx                     or -20190701: other labels for three clips

Convention: annotated frames are the numbers in the file names, which are not padded.
Clip names repeat across subjects.
"""

import re
from functools import partial

from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import TableFormat, annotated_clip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder
from mol_pipeline.databases.index import DatabaseIndex

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
        builder = IndexBuilder(
            self.name,
            request,
            rank=_rank,
        )
        table, rows = builder.read(TABLE)
        edition = ""
        for row in rows:
            clip = row.text("filename")
            subject = subject_number(row.text("subject"))
            if subject == RELABELLED and row.text("emotion").lower() == "sadness":
                edition = "2014"
            elif not edition and row.text("objective_class"):
                edition = "2019"
            annotated = annotated_clip(row, TABLE, subject=subject)
            builder.add(
                annotated,
                builder.folders.named(clip, partial(is_of_subject, subject)),
            )
        edition = edition or "2014"
        builder.note(f"labels are those of the {edition} coding")
        builder.reject_folders(clip_of_folder)
        return builder.finish(table, edition=edition)


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
