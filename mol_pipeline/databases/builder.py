"""From annotated rows and folders to an index: what all adapters do alike.

An adapter says what a row means and which folder belongs to it. Here, known errors are
put right, impossible rows are rejected with a reason, frames are chosen by the number in
their name, gaps are noted, and what is left over is named. Nothing vanishes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mol_pipeline.contract.documents import shortened
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.files import legible
from mol_pipeline.contract.gaps import gaps_between
from mol_pipeline.contract.manifest import (
    IndexOptions,
    KeyFrames,
    KeyFrameSource,
    RejectedVideo,
)
from mol_pipeline.databases.annotations import find_annotation
from mol_pipeline.databases.candidates import best_folder
from mol_pipeline.databases.corrections import Corrector
from mol_pipeline.databases.files import (
    FrameFolder,
    FrameFolders,
    folder_inside,
    require_root,
)
from mol_pipeline.databases.fitting import Misfit, Numbers
from mol_pipeline.databases.index import DatabaseIndex, SourceVideo
from mol_pipeline.databases.names import DATABASES
from mol_pipeline.databases.published_counts import compare_with_published
from mol_pipeline.databases.synthetic import is_synthetic
from mol_pipeline.databases.tables import (
    Columns,
    Row,
    Table,
    has_columns,
    is_absent,
    nearest_number,
    read_table,
)
from mol_pipeline.databases.text import named_encoding

LONGEST_CLIP = 1_000_000
"""Frames; a longer interval is a slip of the pen (at 200 fps it would last 83 minutes)."""


@dataclass(frozen=True)
class TableFormat:
    """How a database's annotation table is found and read."""

    patterns: tuple[str, ...]
    """Of its file name, case aside."""
    columns: Columns
    """That must be there: filename, onset, apex, offset, emotion, and usually subject."""
    optional: Columns
    """That may be there, and are kept with each clip."""


@dataclass(frozen=True)
class AnnotatedClip:
    """What a row says, as text, with our names for things."""

    subject: str
    clip: str
    raw_label: str
    where: str
    """Where it is written, for messages."""
    onset: str = ""
    apex: str = ""
    offset: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    person: str = ""
    """Who it shows; `database/subject` if empty."""
    zero: Literal["number", "open"] = "number"
    """What an onset or offset of 0 means: a frame, or beyond the recording."""
    offset_source: KeyFrameSource = "annotated"
    """Of an offset that the adapter filled in."""
    whole_clip: bool = False
    """No interval is annotated: every frame of the folder belongs to the clip."""


def annotated_clip(row: Row, form: TableFormat, *, subject: str, clip: str = "") -> AnnotatedClip:
    """What a row with the usual columns says.

    Args:
        row: Of the table.
        form: Its format.
        subject: As the database's adapter writes it.
        clip: Name, if it is not the one in the table.
    """
    return AnnotatedClip(
        subject=subject,
        clip=clip or row.text("filename"),
        raw_label=row.text("emotion"),
        where=row.where,
        onset=row.text("onset"),
        apex=row.text("apex"),
        offset=row.text("offset"),
        annotations={name: row.text(name) for name in form.optional},
    )


def raw_before_cropped(parts: tuple[str, ...]) -> int | None:
    """Rank of a folder: the owners' cropped copies come second."""
    return 1 if any("crop" in part for part in parts) else 0


class IndexBuilder:
    """Collects the clips of one database.

    Args:
        database: Its name on the command line.
        root: Of the release.
        frames: Folder under the root to take frames from.
        apply_corrections: Put known errors right.
        numbers: What the numbers of frames are, see `fitting`.
        rank: See `FrameFolders`.
        fractions: Whether the owners wrote times converted to frames, whose fractions are rounded;
            elsewhere a fraction is an error.
    """

    def __init__(
        self,
        database: str,
        root: Path,
        *,
        frames: str | None = None,
        apply_corrections: bool = True,
        numbers: Numbers = "auto",
        rank: Callable[[tuple[str, ...]], int | None] = raw_before_cropped,
        fractions: bool = False,
    ) -> None:
        self.database = database
        self.title = DATABASES[database].partition(" (")[0]
        self.root = require_root(root, self.title)
        start = folder_inside(root, frames, "--frames") if frames else root
        self.folders = FrameFolders(root, start, rank)
        self.corrector = Corrector(database, enabled=apply_corrections)
        self._numbers: Numbers = numbers
        self._fractions = fractions
        self._rounded: dict[tuple[str, str], list[str]] = {}
        self._options = IndexOptions(
            frames=frames,
            corrections=apply_corrections,
            numbers=numbers,
            encoding=named_encoding(),
        )
        self.notes: list[str] = []
        self._rejected: list[RejectedVideo] = []
        self._found: list[tuple[AnnotatedClip, KeyFrames, list[FrameFolder]]] = []
        self._keys: dict[tuple[str, str], AnnotatedClip] = {}
        self._videos: list[SourceVideo] = []
        self._rows: set[tuple[str, ...]] = set()
        self._names: set[tuple[str, str]] = set()

    def read(self, form: TableFormat, annotation: Path | None) -> tuple[Path, list[Row]]:
        """The owners' table and its rows; notes below the table are left out.

        Raises:
            SourceError: If it is not found, or cannot be read.
        """
        table = self.find_table(
            form.patterns, annotation, lambda path: has_columns(path, form.columns)
        )
        rows = self.noted(read_table(table, form.columns, optional=form.optional))
        return table, [row for row in rows if row.text("filename")]

    def find_table(
        self,
        patterns: Sequence[str],
        annotation: Path | None,
        is_right: Callable[[Path], bool] = lambda path: True,
    ) -> Path:
        """The owners' table, see `find_annotation`; others that say the same are noted."""
        table, notes = find_annotation(self.root, patterns, self.title, annotation, is_right)
        for note in notes:
            self.note(note)
        return table

    def noted(self, table: Table) -> tuple[Row, ...]:
        """The rows of a table; what was left aside in it is noted."""
        for note in table.notes:
            self.note(note)
        return table.rows

    def frame_number(self, clip: tuple[str, str], name: str, text: str) -> int | None:
        """A cell as a frame number; a fraction is rounded, and said.

        Args:
            clip: Subject and name, for the note.
            name: Of the column.
            text: The cell.

        Raises:
            ValueError: If it is none.
        """
        value, exact = nearest_number(text)
        if not exact:
            if not self._fractions:
                raise ValueError(f"{text.strip()!r} is no whole number")
            words = f"{name} {text.strip()} rounded to {value}"
            rounded = self._rounded.setdefault(clip, [])
            if words not in rounded:
                rounded.append(words)
        return value

    def named_apart(self, clip: AnnotatedClip, cells: Iterable[str], suffix: str) -> AnnotatedClip:
        """The clip, renamed if another event has its name; an equal row keeps it and is refused.

        Args:
            clip: As the row names it.
            cells: Everything that the row says.
            suffix: What tells the event apart.
        """
        content = (clip.subject.lower(), clip.clip.lower(), *cells)
        if content in self._rows:
            return clip
        self._rows.add(content)
        key = clip.subject.lower(), clip.clip.lower()
        if key in self._names:
            clip = replace(clip, clip=f"{clip.clip}{suffix}")
        self._names.add((clip.subject.lower(), clip.clip.lower()))
        return clip

    def note(self, text: str) -> None:
        """Say what is odd about this copy, once."""
        if text not in self.notes:
            self.notes.append(text)

    def reject(self, clip: AnnotatedClip, code: str, message: str) -> None:
        """Leave a clip out, with a reason."""
        self._rejected.append(
            RejectedVideo(
                database=self.database,
                subject=clip.subject,
                clip=clip.clip,
                code=code,
                message=shortened(f"{message} ({clip.where})" if clip.where else message, 1000),
            )
        )

    def add(self, clip: AnnotatedClip, folders: list[FrameFolder]) -> None:
        """Take a clip whose frames are in one of these folders."""
        key_frames = self.check(clip)
        if key_frames is None:
            return
        if not folders:
            self.reject(clip, "no-folder", f"no folder with frames for {clip.clip} below the root")
            return
        self._found.append((clip, key_frames, folders))

    def add_video(self, clip: AnnotatedClip, video: SourceVideo) -> None:
        """Take a clip that the adapter put together itself, if it is new."""
        if self._is_new(clip):
            self.add_checked(video)

    def add_checked(self, video: SourceVideo) -> None:
        """Take a clip that the adapter put together itself after `check`."""
        self._videos.append(video)

    def check(self, clip: AnnotatedClip) -> KeyFrames | None:
        """Key frames of a clip that is new and possible; else it is rejected."""
        try:
            key_frames = self._key_frames(clip)
        except ValueError as error:
            self.reject(clip, "impossible-row", str(error))
            return None
        return key_frames if self._is_new(clip) else None

    def _is_new(self, clip: AnnotatedClip) -> bool:
        """Whether a clip has a name of its own that documents can hold; else it is rejected."""
        texts = [clip.subject, clip.clip, clip.raw_label, clip.person, *clip.annotations.values()]
        if any(legible(text) != text for text in texts):
            words = (
                "a name or a cell of it is no text (bytes that are not UTF-8, or NUL); rename it"
            )
            self.reject(clip, "impossible-row", words)
            return False
        key = clip.subject.lower(), clip.clip.lower()
        if key in self._keys:
            first = self._keys[key].where
            self.reject(clip, "duplicate-row", f"{clip.clip} is annotated twice, first in {first}")
            return False
        self._keys[key] = clip
        return True

    def _key_frames(self, clip: AnnotatedClip) -> KeyFrames:
        """Key frames of a row, put right where a known error is present.

        Raises:
            ValueError: If a cell is no number or the order is impossible.
        """
        if clip.whole_clip:
            return KeyFrames()
        onset, onset_source = self._cell(clip, "onset", clip.onset)
        apex, apex_source = self._cell(clip, "apex", clip.apex, at_least=onset)
        least = max(onset or 0, apex or 0)
        offset, offset_source = self._cell(clip, "offset", clip.offset, at_least=least)
        if offset_source == "annotated":
            offset_source = clip.offset_source
        if clip.zero == "open":
            onset, onset_source = (onset, onset_source) if onset else (None, "absent")
            offset, offset_source = (offset, offset_source) if offset else (None, "absent")
        elif onset is None or offset is None:
            missing = "onset" if onset is None else "offset"
            raise ValueError(f"{missing} is not annotated")
        if onset is not None and offset is not None and onset > offset:
            raise ValueError(f"onset {onset} does not come before offset {offset}")
        if (offset or 0) - (onset or 0) > LONGEST_CLIP:
            raise ValueError(
                f"onset {onset} .. offset {offset} is longer than {LONGEST_CLIP} frames"
            )
        if apex == 0 and onset != 0:
            apex, apex_source = None, "absent"  # 0 is how some tables leave it open
        low, high = onset or 0, offset if offset is not None else apex
        if apex is not None and high is not None and not low <= apex <= high:
            known = self.corrector.number(clip.subject, clip.clip, "apex", str(apex), outside=True)
            if known is None:
                raise ValueError(f"apex {apex} lies outside onset {onset} .. offset {offset}")
            apex = int(known.right) if known.right else None
            apex_source = "corrected" if known.right else "absent"
        return KeyFrames(
            onset=onset,
            apex=apex,
            offset=offset,
            onset_source=onset_source,
            apex_source=apex_source,
            offset_source=offset_source,
        )

    def _cell(
        self, clip: AnnotatedClip, name: str, text: str, at_least: int | None = None
    ) -> tuple[int | None, KeyFrameSource]:
        try:
            value = self.frame_number((clip.subject, clip.clip), name, text)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
        if value is not None and value < 0 and name != "apex":
            raise ValueError(f"{name} {value} is negative")
        written = text.strip() if value is None else str(value)
        known = self.corrector.number(clip.subject, clip.clip, name, written, at_least=at_least)
        if known is None:
            return value, "absent" if value is None else "annotated"
        if not known.right:
            return None, "absent"
        was_empty = is_absent(known.wrong)
        return int(known.right), "estimated" if was_empty else "corrected"

    def reject_folders(self, is_clip: Callable[[FrameFolder], tuple[str, str] | None]) -> None:
        """Name folders of clips that no row annotates.

        Args:
            is_clip: From a folder to (subject, clip), or None if it is no clip's folder.
        """
        used = {folder.path for _, _, folders in self._found for folder in folders}
        for folder in self.folders:
            names = is_clip(folder)
            if names is None or folder.path in used:
                continue
            if (names[0].lower(), names[1].lower()) in self._keys:
                continue
            clip = AnnotatedClip(subject=names[0], clip=names[1], raw_label="", where="")
            if not any(
                one.subject == clip.subject and one.clip == clip.clip for one in self._rejected
            ):
                self.reject(clip, "not-annotated", f"{folder.relative}: no row annotates it")

    def finish(
        self,
        annotation: Path | None,
        *,
        edition: str = "",
        renumbered: bool = False,
        trust_folder: bool = False,
    ) -> DatabaseIndex:
        """Choose one set of frames, cut the clips, compare the counts.

        Args:
            annotation: The owners' table.
            edition: Which edition of the annotation it is, where their counts differ.
            renumbered: The owners' own folders may be numbered anew from the start of each clip;
                of other databases only a copy is, and it is named.
            trust_folder: Where the annotated interval goes beyond a trimmed folder, end at
                the folder's last frame.

        Raises:
            SourceError: If no clip has frames.
        """
        ranks = Counter(rank for *_, found in self._found for rank in {one.rank for one in found})
        # The fullest set of frames; of equally full ones the one that the adapter prefers.
        rank = min(ranks, key=lambda one: (-ranks[one], one), default=0)
        others = set()
        for clip, key_frames, folders in self._found:
            fitting = [folder for folder in folders if folder.rank == rank]
            others |= {one.parts[0] for one in folders if one.rank != rank and one.parts}
            if not fitting:
                words = f"{folders[0].relative} is of another set of frames"
                self.reject(clip, "no-folder", f"{words}; choose a set with --frames")
                continue
            self._cut(clip, key_frames, fitting, renumbered, trust_folder)
        if others:
            self.note(f"also there, not used: {', '.join(sorted(others))}; choose with --frames")
        for path in sorted(self.folders.closed):
            name = path.relative_to(self.root).as_posix()
            self.note(f"{name}: no permission to look into this folder; it is left out")
        for doubled in sorted(self.folders.doubled):
            self.note(f"doubled folder {doubled}")
        if self._rounded:
            cells = sum(map(len, self._rounded.values()))
            (subject, name), (first, *_) = next(iter(self._rounded.items()))
            self.note(
                f"{cells} frame number(s) of {len(self._rounded)} row(s) are fractions, rounded to "
                f"the nearest frame, half up; first: {subject}/{name}: {first}"
            )
        if not self._videos:
            self._refuse_empty()
        videos = tuple(
            sorted(map(self._remarked, self._videos), key=lambda video: (video.subject, video.clip))
        )
        places = {self.root / video.folder for video in videos}
        synthetic = is_synthetic(self.root, places | ({annotation} if annotation else set()))
        return DatabaseIndex(
            database=self.database,
            root=self.root,
            videos=videos,
            annotation=annotation,
            synthetic=synthetic,
            rejected=tuple(
                sorted(self._rejected, key=lambda one: (one.subject, one.clip, one.code))
            ),
            corrections=tuple(self.corrector.applied),
            counts=() if synthetic else compare_with_published(self.database, videos, edition),
            notes=tuple(self.notes),
            options=self._options,
        )

    def _remarked(self, video: SourceVideo) -> SourceVideo:
        """A video with what was rounded in its row."""
        rounded = self._rounded.get((video.subject, video.clip), ())
        return replace(video, remarks=(*rounded, *video.remarks)) if rounded else video

    def _refuse_empty(self) -> None:
        if self.folders.archives:
            name = self.folders.archives[0].relative_to(self.root)
            raise SourceError(
                f"{self.root}: no clip of {self.title} has frames there; unpack {name} first"
            )
        reason = (
            f"; first: {self._rejected[0].clip}: {self._rejected[0].message}"
            if self._rejected
            else ""
        )
        raise SourceError(
            f"{self.root}: no clip of {self.title} has frames there "
            f"({len(self._rejected)} rejected{reason}); is --root the right folder?"
        )

    def _cut(
        self,
        clip: AnnotatedClip,
        key_frames: KeyFrames,
        folders: list[FrameFolder],
        renumbered: bool,
        trust_folder: bool,
    ) -> None:
        """Choose the frames of a clip."""
        try:
            best, why = best_folder(folders, key_frames, self._numbers, anew=renumbered)
        except Misfit as misfit:
            self.reject(clip, misfit.code, str(misfit))
            return
        chosen, key_frames = best.fit.frames, best.fit.key_frames
        remarks = [one for one in (why, best.fit.renumbered) if one]
        if why:
            self.note(f"{clip.subject}/{clip.clip}: {why}")
        if best.fit.renumbered:
            self.note("frames are numbered from the start of the clip; taken in order")
        first, last = best.present[0][0], best.present[-1][0]
        offset = key_frames.offset
        if trust_folder and offset is not None and offset > last:
            words = f"offset {offset} lies beyond the last frame {last}; cut there"
            self.note(f"{clip.clip}: {words}")
            remarks.append(words)
            apex = key_frames.apex
            beyond = apex is not None and apex > last
            key_frames = key_frames.model_copy(
                update={"offset": last, "offset_source": "corrected"}
                | ({"apex": None, "apex_source": "absent"} if beyond else {})
            )
        low = key_frames.onset if key_frames.onset is not None else chosen[0][0]
        high = key_frames.offset if key_frames.offset is not None else chosen[-1][0]
        if low > first or high < last:
            self.note("folders hold more frames than the annotated intervals; clips are cut")
        self._videos.append(
            SourceVideo(
                database=self.database,
                subject=clip.subject,
                person=clip.person or f"{self.database}/{clip.subject}",
                clip=clip.clip,
                raw_label=clip.raw_label,
                key_frames=key_frames,
                folder=best.folder.relative,
                frames=chosen,
                missing=gaps_between((number for number, _ in chosen), low, high),
                annotations={name: text for name, text in clip.annotations.items() if text},
                remarks=(*remarks, *best.remarks),
            )
        )
