"""SMIC-E, the long videos of SMIC (Li et al. 2013), as its owners ship it.

    SMIC-E_raw image/HS_long/SMIC-HS-E/s03/s3_ne_21/image427607.jpg
    SMIC-HS-E_annotation.xlsx               one row per long video, up to three expressions

Each annotated expression is a clip, cut from its long video by frame number. Some clips of
SMIC have no long video of their own, and are the second or third expression in a neighbour's.
The label is taken from the clip's name. Cells are distrusted: an interval counts if it lies
inside the video and its onset comes before its offset.
"""

from collections.abc import Iterator
from pathlib import Path

from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.adapters.smic import CLIP_NAME, WORDS, clip_identity, of_another_camera
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder, list_frames, raw_before_cropped
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.tables import (
    Columns,
    Row,
    content_of,
    read_sheets,
    read_table,
)

COLUMNS: Columns = {
    "filename": ("Filename",),
    "onset": ("OnsetF", "Onset1F"),
    "offset": ("OffsetF", "Offset1F"),
    "emotion": ("Emotion",),
}
OPTIONAL: Columns = {
    "subject": ("Subject",),
    "apex": ("ApexF",),
    "onset 2": ("Onset2F",),
    "offset 2": ("Offset2F",),
    "onset 3": ("Onset3F",),
    "offset 3": ("Offset3F",),
    "first": ("FirstF",),
    "last": ("LastF",),
}


class SmicE(Adapter):
    """Adapter of SMIC-E as one camera saw it.

    Args:
        camera: `hs`, `vis` or `nir`.
    """

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.name = f"smic-e-{camera}"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List the expressions of SMIC-E."""
        builder = IndexBuilder(
            self.name,
            request,
            rank=lambda parts: _rank(self.camera, parts),
        )
        table = builder.tables.find(
            (f"SMIC*{self.camera}*E*annotation*.xls*",),
            lambda path: content_of(path, COLUMNS, OPTIONAL),
        )
        names = {name.strip().lower() for name in read_sheets(table)}
        sheet = self.camera if self.camera in names else None
        rows = [
            row
            for row in builder.tables.noted(
                read_table(table, COLUMNS, optional=OPTIONAL, sheet=sheet)
            )
            if CLIP_NAME.match(row.text("filename"))  # notes stand below the table
        ]
        own_rows = {clip_identity(row.text("filename"))[1] for row in rows}
        long_videos = _LongVideos(builder)
        for row in rows:
            self._take(builder, row, own_rows, long_videos)
        return builder.finish(table)

    def _take(
        self, builder: IndexBuilder, row: Row, own_rows: set[str], videos: "_LongVideos"
    ) -> None:
        subject, host = clip_identity(row.text("filename"))
        intervals = list(_intervals(builder, row, host))
        builder.word(subject, host, "emotion", row.text("emotion"))
        if not intervals:
            first = row.text("first") or "empty"
            clip = _clip(subject, host, row, "", "")
            words = f"no expression inside its long video (FirstF {first})"
            builder.reject(clip, "no-long-video", words)
        for number, (onset, offset) in enumerate(intervals, start=1):
            name = host if number == 1 else f"{host}#{number}"
            name = builder.word(subject, name, "clip", name)
            if number > 1 and name in own_rows:
                continue  # this table has a row for it
            clip = _clip(subject, name, row, str(onset), str(offset), first=number == 1)
            builder.add(clip, videos.holding(subject, host, onset, offset))


def _clip(
    subject: str, name: str, row: Row, onset: str, offset: str, *, first: bool = False
) -> AnnotatedClip:
    match = CLIP_NAME.match(name.split("#")[0])
    return AnnotatedClip(
        subject=subject,
        clip=name,
        raw_label=WORDS[match.group(2).lower()] if match else row.text("emotion"),
        where=row.where,
        onset=onset,
        apex=row.text("apex") if first else "",
        offset=offset,
        person=f"smic/{subject}",
    )


def _intervals(builder: IndexBuilder, row: Row, host: str) -> Iterator[tuple[int, int]]:
    """The expressions of a long video that can be true, each once."""
    who = clip_identity(host)[0], host
    try:
        low, high = (builder.frame_number(who, name, row.text(name)) for name in ("first", "last"))
    except ValueError:  # a remark in place of the number: there is no long video
        return
    seen = set()
    for onset_name, offset_name in (
        ("onset", "offset"),
        ("onset 2", "offset 2"),
        ("onset 3", "offset 3"),
    ):
        try:
            onset, offset = (
                builder.frame_number(who, name, row.text(name))
                for name in (onset_name, offset_name)
            )
        except ValueError as error:
            builder.note(f"{host}: {onset_name} or {offset_name} {error}; ignored")
            continue
        if onset is None or offset is None or (onset, offset) in seen:
            continue
        inside = (low is None or low <= onset) and (high is None or offset <= high)
        if inside and onset < offset:
            seen.add((onset, offset))
            yield onset, offset
        else:
            video = f"{low}..{high}"
            builder.note(f"{host}: {onset_name} {onset} .. {offset} is not inside {video}; ignored")


class _LongVideos:
    """Folders of the long videos, by name or by the frames that they hold."""

    def __init__(self, builder: IndexBuilder) -> None:
        self._builder = builder
        self._frames: dict[Path, set[int]] = {}
        self._of_subject: dict[str, list[FrameFolder]] = {}
        self._named: dict[str, list[FrameFolder]] = {}
        for folder in builder.folders:
            if CLIP_NAME.match(folder.leaf):
                subject, clip = clip_identity(folder.leaf)
                self._of_subject.setdefault(subject, []).append(folder)
                self._named.setdefault(clip, []).append(folder)

    def holding(self, subject: str, clip: str, onset: int, offset: int) -> list[FrameFolder]:
        """The folder of this name, else one of the subject's that holds the interval."""
        return self._named.get(clip) or [
            folder
            for folder in self._of_subject.get(subject, [])
            if {onset, offset} <= self._numbers(folder)
        ]

    def _numbers(self, folder: FrameFolder) -> set[int]:
        if folder.path not in self._frames:
            self._frames[folder.path] = {number for number, _ in list_frames(folder.path)}
        return self._frames[folder.path]


def _rank(camera: str, parts: tuple[str, ...]) -> int | None:
    if any(of_another_camera(camera, part) for part in parts) or "micro" in parts:
        return None
    return raw_before_cropped(parts)
