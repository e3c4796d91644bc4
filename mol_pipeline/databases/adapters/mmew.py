"""MMEW (Ben et al. 2022), its micro-expressions, as its owners ship it.

    MMEW_Final/Micro_Expression/happiness/S01-01-001/1.jpg      emotion / clip
    MMEW_Final/Micro_Expression/S01/happiness/S01-01-001/1.jpg  subject / emotion / clip
    MMEW_Micro_Exp.xlsx

Convention: frames count from 1 in each clip, and the onset is 1. In some rows apex and offset
lie beyond the clip's last frame: such a clip ends where its folder ends, and the report says so.
"""

import re
from dataclasses import replace

from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import TableFormat, annotated_clip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder, list_frames
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.tables import Row, whole_number

TABLE = TableFormat(
    patterns=("MMEW*Micro*Exp*.xls*", "MMEW*Micro*Exp*.csv", "MMEW*.xls*"),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("OnsetFrame", "Onset"),
        "apex": ("ApexFrame", "Apex"),
        "offset": ("OffsetFrame", "Offset"),
        "emotion": ("Estimated Emotion", "Emotion"),
    },
    optional={"action_units": ("Action Units", "AUs", "AU"), "remarks": ("remarks",)},
)
CLIP_NAME = re.compile(r"^S(\d+)-(\d+)-(\d+)$", re.IGNORECASE)


class Mmew(Adapter):
    """Adapter of MMEW's micro-expressions."""

    name = "mmew"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List MMEW's clips."""
        builder = IndexBuilder(self.name, request, rank=_rank)
        table, rows = builder.tables.read(TABLE)
        for row in rows:
            clip = row.text("filename")
            match = CLIP_NAME.match(clip)
            number = match.group(1) if match else row.text("subject")
            folders = builder.folders.named(clip)
            annotated = annotated_clip(row, TABLE, subject=f"S{number.zfill(2)}")
            if request.options.corrections and folders:
                apex, offset = _within_folder(builder, row, folders[0])
                annotated = replace(annotated, apex=apex, offset=offset)
            builder.add(annotated, folders)
        builder.reject_folders(_clip_of_folder)
        return builder.finish(table, trust_folder=request.options.corrections)


def _within_folder(builder: IndexBuilder, row: Row, folder: FrameFolder) -> tuple[str, str]:
    """Apex and offset of a row; where they contradict each other, what the folder allows.

    The folder is the trimmed clip, so it knows the offset better than a wrong cell.
    """
    apex, offset = row.text("apex"), row.text("offset")
    try:
        onset, peak, end = (whole_number(row.text(name)) for name in ("onset", "apex", "offset"))
    except ValueError:
        return apex, offset
    if onset != 1 or (end is not None and (peak is None or 1 <= peak <= end)):
        return apex, offset
    last = list_frames(folder.path)[-1][0]
    if peak is not None and not 1 <= peak <= last:
        builder.note(f"{folder.leaf}: apex {peak} lies outside the clip; ignored ({row.where})")
        peak = None
    if end is None or end < 1 or (peak is not None and peak > end):
        builder.note(
            f"{folder.leaf}: offset {end} contradicts the apex; {last} taken ({row.where})"
        )
        end = last
    return "" if peak is None else str(peak), str(end)


def _clip_of_folder(folder: FrameFolder) -> tuple[str, str] | None:
    match = CLIP_NAME.match(folder.leaf)
    return (f"S{match.group(1).zfill(2)}", folder.leaf) if match else None


def _rank(parts: tuple[str, ...]) -> int | None:
    return None if any("macro" in part for part in parts) else 0
