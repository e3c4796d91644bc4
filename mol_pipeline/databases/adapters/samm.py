"""SAMM (Davison et al. 2016) as its owners ship it.

    SAMM/006/006_1_2/006_05562.jpg          subject / clip / subject_number
    SAMM_Micro_FACS_Codes_v2.xlsx           notes, then a header row with `Subject`

Convention: annotated onset, apex and offset are the numbers in the file names.
"""

import re

from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import TableFormat, annotated_clip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder
from mol_pipeline.databases.index import DatabaseIndex

CLIP_FOLDER = re.compile(r"^(\d{1,3})_\d+_\d+$")
TABLE = TableFormat(
    patterns=("*SAMM*Micro*FACS*Codes*.xls*", "SAMM*.csv"),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename", "File name"),
        "onset": ("Onset Frame", "Onset"),
        "apex": ("Apex Frame", "Apex"),
        "offset": ("Offset Frame", "Offset"),
        "emotion": ("Estimated Emotion", "Emotion"),
    },
    optional={
        "action_units": ("Action Units", "AUs", "AU"),
        "objective_class": ("Objective Classes", "Objective Class"),
        "inducement_code": ("Inducement Code",),
    },
)


class Samm(Adapter):
    """Adapter of SAMM."""

    name = "samm"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List SAMM's clips."""
        builder = IndexBuilder(self.name, request)
        table, rows = builder.tables.read(TABLE)
        for row in rows:
            clip = row.text("filename")
            annotated = annotated_clip(
                row, TABLE, subject=subject_name(row.text("subject") or clip.split("_")[0])
            )
            builder.add(annotated, builder.folders.named(clip))
        builder.reject_folders(_clip_of_folder)
        return builder.finish(table)


def subject_name(text: str) -> str:
    """SAMM's way to write a subject: three digits, whatever the spreadsheet made of it."""
    return text.zfill(3) if text.isdigit() else text


def _clip_of_folder(folder: FrameFolder) -> tuple[str, str] | None:
    match = CLIP_FOLDER.match(folder.leaf)
    return (subject_name(match.group(1)), folder.leaf) if match else None
