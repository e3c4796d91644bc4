"""Your own material: a CSV file that lists videos or folders of frames.

    path,subject,label,onset,apex,offset,clip
    videos/anna-03.mp4,anna,surprise,120,134,150,
    frames/ben/07,ben,happiness,,,,

`path` is relative to the root; `subject` is who is seen; `label` is your word and becomes
the class. The rest may be left out: without onset and offset the whole video is the clip.
Convention: in a folder, frame numbers are those in the file names; in a video file the first
frame is 0.
"""

from pathlib import Path, PurePosixPath

from mol_pipeline.contract.gaps import gaps_between
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.databases.builder import AnnotatedClip, IndexBuilder
from mol_pipeline.databases.files import list_frames, path_inside
from mol_pipeline.databases.fitting import Numbers
from mol_pipeline.databases.index import DatabaseIndex, SourceVideo
from mol_pipeline.databases.tables import Columns, Row, has_columns, read_table
from mol_pipeline.errors import SourceError
from mol_pipeline.frames import VIDEO_SUFFIXES, count_video_frames

COLUMNS: Columns = {"path": ("path",), "subject": ("subject",), "label": ("label",)}
OPTIONAL: Columns = {
    "onset": ("onset",),
    "apex": ("apex",),
    "offset": ("offset",),
    "clip": ("clip",),
}


class Custom:
    """Adapter of a user's own videos."""

    name = "custom"

    def index(
        self,
        root: Path,
        *,
        annotation: Path | None = None,
        frames: str | None = None,
        apply_corrections: bool = True,
        numbers: Numbers = "auto",
    ) -> DatabaseIndex:
        """List the videos of a CSV file; see `Adapter.index`.

        Raises:
            SourceError: If a path leaves the root.
        """
        builder = IndexBuilder(
            self.name, root, frames=frames, apply_corrections=apply_corrections, numbers=numbers
        )
        table = builder.find_table(("*.csv",), annotation, lambda path: has_columns(path, COLUMNS))
        rows = builder.noted(read_table(table, COLUMNS, optional=OPTIONAL))
        for row in rows:
            if path_inside(root, row.text("path")) is None:
                raise SourceError(
                    f"{table}, row {row.number}: path {row.text('path')!r} lies outside the root "
                    f"{root}; paths are relative to --root and stay below it"
                )
        for row in rows:
            self._take(builder, row)
        return builder.finish(table)

    def _take(self, builder: IndexBuilder, row: Row) -> None:
        name = row.text("path").replace("\\", "/")
        clip = AnnotatedClip(
            subject=row.text("subject"),
            clip=row.text("clip") or PurePosixPath(name).stem,
            raw_label=row.text("label"),
            where=row.where,
            onset=row.text("onset"),
            apex=row.text("apex"),
            offset=row.text("offset"),
            whole_clip=not (row.text("onset") or row.text("offset")),
        )
        for column in ("path", "subject", "label"):
            if not row.text(column):
                builder.reject(clip, "impossible-row", f"{column} is empty")
                return
        clip = builder.named_apart(clip, row.cells.values(), f"_{clip.onset or row.number}")
        key_frames = builder.check(clip)
        if key_frames is None:
            return
        path = builder.root / name
        try:
            numbered = _frames_of(path)
        except (OSError, ValueError) as error:
            builder.reject(clip, "unreadable-video", f"{name}: {error}")
            return
        low = numbered[0][0] if key_frames.onset is None else key_frames.onset
        high = numbered[-1][0] if key_frames.offset is None else key_frames.offset
        chosen = tuple(one for one in numbered if low <= one[0] <= high)
        if not chosen:
            words = f"{name} has frames {numbered[0][0]}..{numbered[-1][0]}"
            builder.reject(clip, "no-frames", f"{words}, asked for are {low}..{high}")
            return
        builder.add_checked(_video(clip, key_frames, name, chosen, low, high))


def _frames_of(path: Path) -> tuple[tuple[int, str], ...]:
    """Frames of a folder or of a video file.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is neither, or holds no frame.
    """
    if path.is_dir():
        found = list_frames(path)
        if not found:
            raise ValueError("the folder holds no image with a number in its name")
        return found
    if not path.exists():
        raise ValueError("is not there")
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f"is no folder and none of {', '.join(sorted(VIDEO_SUFFIXES))}")
    return tuple((number, "") for number in range(count_video_frames(path)))


def _video(
    clip: AnnotatedClip,
    key_frames: KeyFrames,
    name: str,
    frames: tuple[tuple[int, str], ...],
    low: int,
    high: int,
) -> SourceVideo:
    return SourceVideo(
        database=Custom.name,
        subject=clip.subject,
        person=f"{Custom.name}/{clip.subject}",
        clip=clip.clip,
        raw_label=clip.raw_label,
        key_frames=key_frames,
        folder=name,
        frames=frames,
        missing=gaps_between((number for number, _ in frames), low, high),
    )
