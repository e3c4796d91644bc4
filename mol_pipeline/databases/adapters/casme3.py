"""CAS(ME)^3 part A (Li et al. 2022) as its owners ship it.

    Part_A_ME_clip/frame/spNO.1_b_166/166.jpg       subject_video_onset / number
    part_A/spNO.1/b/color/166.jpg                   the whole videos
    annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx

Convention: annotated frames are the numbers in the file names. Subject and video do not
name a clip: the onset does, as it is written. Frames are missing by design.
"""

import re

from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import TableFormat, annotated_clip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder
from mol_pipeline.databases.index import DatabaseIndex

TABLE = TableFormat(
    patterns=("*cas(me)3*part_A*ME*label*.xls*", "*cas*me*3*part*A*.xls*", "*casme3*.xls*"),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("Onset",),
        "apex": ("Apex",),
        "offset": ("Offset",),
        "emotion": ("emotion",),
    },
    optional={
        "action_units": ("AU", "AUs"),
        "objective_class": ("Objective class", "Objective classes"),
    },
)
CLIP_FOLDER = re.compile(r"^spno\.?0*(\d+)_([a-z]+)_(\d+)$", re.IGNORECASE)
SUBJECT = re.compile(r"^spno\.?\s*0*(\d+)$", re.IGNORECASE)


class Casme3(Adapter):
    """Adapter of the micro-expressions of CAS(ME)^3, part A."""

    name = "casme3"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List the clips of CAS(ME)^3 part A."""
        builder = IndexBuilder(
            self.name,
            request,
            rank=_rank,
        )
        table, rows = builder.tables.read(TABLE)
        clip_folders = _clip_folders(builder)
        for row in rows:
            video = row.text("filename")
            subject = subject_name(row.text("subject"))
            onset = row.text("onset")
            annotated = annotated_clip(row, TABLE, subject=subject, clip=f"{video.lower()}_{onset}")
            # Two events may begin together.
            annotated = builder.named_apart(annotated, row.cells.values(), f"_{annotated.offset}")
            builder.add(annotated, _folders(builder, clip_folders, subject, video, onset))
        return builder.finish(table)


def subject_name(text: str) -> str:
    """The owners' way to write a subject: `spNO.1`."""
    match = SUBJECT.match(text.strip())
    return f"spNO.{int(match.group(1))}" if match else text.strip()


ClipFolders = dict[tuple[str, str], dict[str, list[FrameFolder]]]


def _clip_folders(builder: IndexBuilder) -> ClipFolders:
    """(Subject, video) -> onset in the folder's name -> folders."""
    found: ClipFolders = {}
    for folder in builder.folders:
        match = CLIP_FOLDER.match(folder.leaf)
        if match:
            key = f"spNO.{int(match.group(1))}", match.group(2).lower()
            found.setdefault(key, {}).setdefault(match.group(3), []).append(folder)
    return found


def _folders(
    builder: IndexBuilder, clips: ClipFolders, subject: str, video: str, onset: str
) -> list[FrameFolder]:
    """Folders of a clip: by its onset, else any of the video's; and those of the whole video."""
    of_video = clips.get((subject, video.lower()), {})
    own = of_video.get(onset) or [one for found in of_video.values() for one in found]
    whole = builder.folders.named(
        "color", lambda folder: _is_video(folder.parts[:-1], subject, video)
    ) + builder.folders.named(video, lambda folder: _is_video(folder.parts, subject, video))
    return sorted({*own, *whole}, key=lambda one: (one.rank, one.parts))


def _is_video(parts: tuple[str, ...], subject: str, video: str) -> bool:
    return (
        len(parts) >= 2
        and parts[-1].lower() == video.lower()
        and subject_name(parts[-2]) == subject
    )


def _rank(parts: tuple[str, ...]) -> int | None:
    """Clips before whole videos; depth maps and macro-expressions not at all."""
    if "depth" in parts or any("mae_clip" in part for part in parts):
        return None
    return 0 if any("me_clip" in part for part in parts) else 1
