"""Your own material: a CSV file that lists videos or folders of frames.

    path,subject,label,onset,apex,offset,clip
    videos/anna-03.mp4,anna,surprise,120,134,150,
    frames/ben/07,ben,happiness,,,,

`path` is relative to the root; `subject` is who is seen; `label` is your word and becomes
the class. The rest may be left out: without onset and offset the whole video is the clip.
Convention: in a folder, frame numbers are those in the file names, and where the names are
times an onset may be written as a name is; in a video file the first shown frame is 0. Of a
folder with two series of frames (left, right) one is named: `frames/ben/07/left_*`.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.gaps import gaps_between
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import path_inside
from mol_pipeline.databases.fitting import Misfit, require_most
from mol_pipeline.databases.index import DatabaseIndex, SourceVideo
from mol_pipeline.databases.own_people import FilesOfSubjects, refuse_two_spellings
from mol_pipeline.databases.sources import PATTERN, Source, open_source
from mol_pipeline.databases.tables import Columns, Row, content_of, is_absent, read_table
from mol_pipeline.reading.source_faults import read_from_disk

COLUMNS: Columns = {"path": ("path",), "subject": ("subject",), "label": ("label",)}
OPTIONAL: Columns = {
    "onset": ("onset",),
    "apex": ("apex",),
    "offset": ("offset",),
    "clip": ("clip",),
}


class Custom(Adapter):
    """Adapter of a user's own videos."""

    name = "custom"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List the videos of a CSV file.

        Raises:
            SourceError: If a path leaves the root, a person is written in two ways, or a file
                is listed under two subjects.
        """
        builder = IndexBuilder(self.name, request)
        table = builder.tables.find(("*.csv",), lambda path: content_of(path, COLUMNS, OPTIONAL))
        rows = builder.tables.noted(read_table(table, COLUMNS, optional=OPTIONAL))
        for row in rows:
            if path_inside(builder.root, row.text("path")) is None:
                raise SourceError(
                    f"{table}, row {row.number}: path {row.text('path')!r} lies outside the root "
                    f"{builder.root}; paths are relative to --root and stay below it"
                )
        refuse_two_spellings(table, rows)
        files = FilesOfSubjects(table)
        for row in rows:
            self._take(builder, row, files)
        return builder.finish(table)

    def _take(self, builder: IndexBuilder, row: Row, files: FilesOfSubjects) -> None:
        """Take a row, or reject it.

        Raises:
            SourceError: If the disk does not give the file: no later run would find the same.
        """
        name = row.text("path").replace("\\", "/")
        onset, apex, offset = (row.text(column) for column in ("onset", "apex", "offset"))
        clip = AnnotatedClip(
            subject=row.text("subject"),
            clip=row.text("clip") or _clip_name(name),
            raw_label=row.text("label"),
            where=row.where,
            onset=onset,
            apex=apex,
            offset=offset,
            whole_clip=is_absent(onset) and is_absent(offset),
        )
        for column in ("path", "subject", "label"):
            if not row.text(column):
                builder.reject(clip, "impossible-row", f"{column} is empty")
                return
        clip = builder.named_apart(clip, row.cells.values(), f"_{clip.onset or row.number}")
        place = path_inside(builder.root, name) or builder.root
        try:
            source = read_from_disk(partial(open_source, place), place)
        except (OSError, ValueError) as error:
            builder.reject(clip, "unreadable-video", f"{name}: {_reason(error)}")
            return
        files.take(source, clip.subject, row.number)
        clip = replace(
            clip,
            onset=source.number(onset),
            apex=source.number(apex),
            offset=source.number(offset),
        )
        key_frames = builder.check(clip)
        if key_frames is None:
            return
        part = source.part(key_frames.onset, key_frames.offset)
        if not part.frames:
            present = f"{name} has frames {source.frames[0][0]}..{source.frames[-1][0]}"
            asked = f"asked for are {key_frames.onset}..{key_frames.offset}"
            builder.reject(clip, "no-frames", f"{present}, {asked}")
            return
        video = _video(clip, key_frames, builder.root, part)
        try:
            require_most(name, len(video.frames), video.missing, builder.most_missing)
        except Misfit as misfit:
            builder.reject(clip, misfit.code, str(misfit))
            return
        builder.add_checked(video)


def _clip_name(path: str) -> str:
    """Name of a clip without one: its film, its folder, or its folder and series."""
    last = PurePosixPath(path)
    if PATTERN not in last.name:
        return last.stem
    return "-".join(word for word in (last.parent.name, last.stem.strip("*_-. ")) if word)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _video(clip: AnnotatedClip, key_frames: KeyFrames, root: Path, source: Source) -> SourceVideo:
    numbers = [number for number, _ in source.frames]
    low = numbers[0] if key_frames.onset is None else key_frames.onset
    high = numbers[-1] if key_frames.offset is None else key_frames.offset
    return SourceVideo(
        database=Custom.name,
        subject=clip.subject,
        person=f"{Custom.name}/{clip.subject}",
        clip=clip.clip,
        raw_label=clip.raw_label,
        key_frames=key_frames,
        folder=source.path.relative_to(root).as_posix(),
        frames=source.frames,
        missing=gaps_between(numbers, low, high) if source.has_gaps else (),
        times=source.times,
        rate=source.rate,
        remarks=source.all_remarks,
    )
