"""SMIC-E, the long videos of SMIC (Li et al. 2013), as its owners ship it.

    SMIC-E_raw image/HS_long/SMIC-HS-E/s03/s3_ne_21/image427607.jpg
    SMIC-HS-E_annotation.xlsx               one row per long video, up to three expressions

Each annotated expression is a clip, cut from its long video by frame number. Some clips of
SMIC have no long video of their own, and are the second or third expression in a neighbour's.
The label is taken from the clip's name. Cells are distrusted: an interval counts if it lies
inside the video and its onset comes before its offset.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.adapters.smic import (
    CLIP_NAME,
    WORDS,
    clip_identity,
    of_another_camera,
    require_camera,
)
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder, list_frames, raw_before_cropped
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.noticed import Notice
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
        require_camera(request.root, self.name, self.camera)
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
        alone = _with_long_videos_of_their_own(rows)
        for row in rows:
            self._take(builder, row, own_rows, long_videos, alone)
        return builder.finish(table, long_videos=True)

    def _take(
        self,
        builder: IndexBuilder,
        row: Row,
        own_rows: set[str],
        videos: "_LongVideos",
        alone: Sequence[Row],
    ) -> None:
        subject, host = clip_identity(row.text("filename"))
        intervals = list(_intervals(builder, row, host, videos.span(host)))
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
            builder.add(clip, videos.holding(subject, host, onset, offset, own=row in alone))


def _with_long_videos_of_their_own(rows: Sequence[Row]) -> list[Row]:
    """Rows with a first and a last frame that no other row has.

    Where a table has a row for each expression, some lie in a neighbour's long video.
    """
    spans = [(row.text("first"), row.text("last")) for row in rows]
    often = Counter(spans)
    return [
        row
        for row, span in zip(rows, spans, strict=True)
        if often[span] == 1 and any(text.isdecimal() for text in span)
    ]


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


def _intervals(
    builder: IndexBuilder, row: Row, host: str, folder: "Span | None"
) -> Iterator[tuple[int, int]]:
    """The expressions of a long video that can be true, each once.

    Args:
        builder: Takes notes on the others.
        row: Of the long video.
        host: Its name.
        folder: First and last number in its own folder, if it has one.
    """
    who = clip_identity(host)[0], host
    try:
        span = _span(builder, row, who, folder)
    except ValueError:  # a remark in place of the number: there is no long video
        return
    low, high = span
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


Span = tuple[int, int]
"""First and last number of a folder."""


def _span(
    builder: IndexBuilder, row: Row, who: tuple[str, str], folder: Span | None
) -> tuple[int | None, int | None]:
    """First and last frame of a long video: as the table says, if its own folder allows it.

    A number of the table that lies further outside the folder than the folder is long is a slip of
    that row; one that lies nearer may be of frames that this copy lacks.

    Raises:
        ValueError: If the table has no number there, and there is no folder.
    """
    found: list[int | None] = []
    for place, name in enumerate(("first", "last")):
        try:
            number = builder.frame_number(who, name, row.text(name))
        except ValueError:
            if folder is None:
                raise
            number = None
        if folder is not None:
            low, high = folder
            length = high - low + 1
            end = folder[place]
            is_near = number is not None and low - length <= number <= high + length
            if number is not None and not is_near:
                words = f"{name} frame {number} lies far outside its folder {low}..{high}"
                builder.notice(who, Notice("bound", words))
            number = (min, max)[place](number, end) if number is not None and is_near else end
        found.append(number)
    return found[0], found[1]


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

    def span(self, clip: str) -> Span | None:
        """First and last number of the folder of this name, if there is one."""
        for folder in self._named.get(clip, ()):
            numbers = self._numbers(folder)
            if numbers:
                return min(numbers), max(numbers)
        return None

    def holding(
        self, subject: str, clip: str, onset: int, offset: int, *, own: bool
    ) -> list[FrameFolder]:
        """The folder of this name, else one of the subject's that holds the whole interval.

        Args:
            subject: Of the clip.
            clip: Name of its long video.
            onset: First frame.
            offset: Last frame.
            own: Whether it has a long video of its own: another's frames are never taken for it.
        """
        found = self._named.get(clip)
        if found or own:
            return found or []
        wanted = set(range(onset, offset + 1))
        of_subject = self._of_subject.get(subject, [])
        return [folder for folder in of_subject if wanted <= self._numbers(folder)]

    def _numbers(self, folder: FrameFolder) -> set[int]:
        if folder.path not in self._frames:
            self._frames[folder.path] = {number for number, _ in list_frames(folder.path)}
        return self._frames[folder.path]


def _rank(camera: str, parts: tuple[str, ...]) -> int | None:
    if any(of_another_camera(camera, part) for part in parts) or "micro" in parts:
        return None
    return raw_before_cropped(parts)
