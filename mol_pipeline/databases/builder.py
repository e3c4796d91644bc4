"""From annotated rows and folders to an index: what all adapters do alike.

An adapter says what a row means and which folder belongs to it. Here, known errors are
put right, impossible rows are rejected with a reason, frames are chosen by the number in
their name, gaps are noted, and what is left over is named. Nothing vanishes.
"""

import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from mol_pipeline.contract.documents import shortened
from mol_pipeline.contract.manifest import Correction, KeyFrames, RejectedVideo
from mol_pipeline.contract.rejections import RejectionCode
from mol_pipeline.databases.adapter import IndexRequest
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.clip_names import ClipNames
from mol_pipeline.databases.corrections import Corrections
from mol_pipeline.databases.cutting import Cut, FoundClip, cut, fullest_set
from mol_pipeline.databases.files import (
    FrameFolder,
    FrameFolders,
    folder_inside,
    list_series,
    nothing_found,
    raw_before_cropped,
    require_root,
)
from mol_pipeline.databases.fitting import Misfit
from mol_pipeline.databases.index import DatabaseIndex, SourceVideo
from mol_pipeline.databases.key_frames import frame_number, read_key_frames
from mol_pipeline.databases.names import DATABASES
from mol_pipeline.databases.noticed import Notice, Noticed
from mol_pipeline.databases.owners_tables import OwnersTables
from mol_pipeline.databases.published_counts import compare_with_published, mappings_without_column
from mol_pipeline.databases.synthetic import is_synthetic

logger = logging.getLogger(__name__)

RECORDINGS = 8
"""Folders whose frames are held: rows of one recording stand together."""
SEVERAL = 2
"""Clips whose frames are numbered anew, from which on it is the copy and no slip of one folder."""


class IndexBuilder:
    """Collects the clips of one database.

    Args:
        database: Its name on the command line.
        request: What is to be indexed, and how.
        rank: See `FrameFolders`.
        fractions: Whether the owners wrote times converted to frames, see `frame_number`.
    """

    def __init__(
        self,
        database: str,
        request: IndexRequest,
        *,
        rank: Callable[[tuple[str, ...]], int | None] = raw_before_cropped,
        fractions: bool = False,
    ) -> None:
        self.database = database
        self.request = request
        self.title = DATABASES[database].partition(" (")[0]
        self.root = require_root(request.root, self.title)
        frames = request.options.frames
        start = folder_inside(self.root, frames, "--frames") if frames else self.root
        self.folders = FrameFolders(self.root, start, rank)
        self.tables = OwnersTables(self.root, self.title, request.annotation, self.note)
        self._corrections = Corrections(database, enabled=request.options.corrections)
        self.most_missing = request.options.most_missing
        self._fractions = fractions
        self._applied: list[Correction] = []
        self._noticed = Noticed()
        self.notes: list[str] = []
        self._warnings: list[str] = []
        self._rejected: list[RejectedVideo] = []
        self._impossible: Counter[str] = Counter()
        self._found: list[FoundClip] = []
        self._videos: list[SourceVideo] = []
        self._names = ClipNames()

    def frame_number(self, clip: tuple[str, str], name: str, text: str) -> int | None:
        """A cell as a frame number; a fraction is rounded, and said.

        Args:
            clip: Subject and name, for the note.
            name: Of the column.
            text: The cell.

        Raises:
            ValueError: If it is none.
        """
        number = frame_number(name, text, fractions=self._fractions)
        for notice in number.notices:
            self.notice(clip, notice)
        return number.value

    def notice(self, clip: tuple[str, str], notice: Notice) -> None:
        """Keep what is odd about a cell with its clip, and count it."""
        self._noticed.add(*clip, notice)

    def word(self, subject: str, clip: str, field: str, value: str) -> str:
        """A word of a row, put right if it is known to be wrong."""
        known = self._corrections.word(subject, clip, field, value)
        if known is None:
            return value
        self._note_correction(known)
        return known.right

    def known_number(self, subject: str, clip: str, field: str, value: str) -> str | None:
        """What a number of a row is put right to, or None; it is noted when the row is taken."""
        known = self._corrections.number(subject, clip, field, value)
        return None if known is None else known.right

    def _note_correction(self, known: Correction) -> None:
        logger.info(
            "%s/%s: %s %s -> %s (%s)",
            *(known.subject, known.clip, known.field, known.wrong),
            *(known.right or "ignored", known.source),
        )
        self._applied.append(known)

    def named_apart(self, clip: AnnotatedClip, cells: Iterable[str], suffix: str) -> AnnotatedClip:
        """The clip, renamed if another event has its name; an equal row keeps it and is refused.

        Args:
            clip: As the row names it.
            cells: Everything that the row says.
            suffix: What tells the event apart.
        """
        return self._names.apart(clip, cells, suffix)

    def note(self, text: str) -> None:
        """Say what is odd about this copy, once."""
        if text not in self.notes:
            self.notes.append(text)

    def warn(self, text: str) -> None:
        """Say what a user must know before using the clips."""
        self.note(text)
        if text not in self._warnings:
            self._warnings.append(text)

    def reject(self, clip: AnnotatedClip, code: RejectionCode, message: str) -> None:
        """Leave a clip out, with a reason."""
        if code in {"impossible-row", "duplicate-row"}:
            self._impossible[clip.annotations.get("expression", "micro")] += 1
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
            reading = read_key_frames(clip, self._corrections, fractions=self._fractions)
        except ValueError as error:
            self.reject(clip, "impossible-row", str(error))
            return None
        if not self._is_new(clip):
            return None
        for known in reading.corrections:
            self._note_correction(known)
        for notice in reading.notices:
            self.notice((clip.subject, clip.clip), notice)
        return reading.key_frames

    def _is_new(self, clip: AnnotatedClip) -> bool:
        """Whether a clip has a name of its own that documents can hold; else it is rejected."""
        problem = self._names.take(clip)
        if problem is not None:
            self.reject(clip, *problem)
        return problem is None

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
            clip = AnnotatedClip(subject=names[0], clip=names[1], raw_label="", where="")
            if clip.key in self._names:
                continue
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
        long_videos: bool = False,
    ) -> DatabaseIndex:
        """Choose one set of frames, cut the clips, compare the counts.

        Args:
            annotation: The owners' table.
            edition: Which edition of the annotation it is, where their counts differ.
            renumbered: The owners' own folders may be numbered anew from the start of each clip;
                of other databases only a copy is, and it is named.
            trust_folder: Where the annotated interval goes beyond a trimmed folder, end at
                the folder's last frame.
            long_videos: Folders hold recordings and not clips: nobody numbers those anew in each
                clip, so the annotated numbers are meant.

        Raises:
            SourceError: If no clip has frames.
        """
        found = fullest_set(self._found)
        for clip, folder in found.rejected:
            words = f"{folder.relative} is of another set of frames"
            self.reject(clip, "no-folder", f"{words}; choose a set with --frames")
        options = self.request.options
        if long_videos:
            options = options.model_copy(update={"numbers": "named"})
        series_of = functools.lru_cache(maxsize=RECORDINGS)(list_series)
        done: list[tuple[AnnotatedClip, Cut]] = []
        for clip, key_frames, folders in found.chosen:
            try:
                one = cut(
                    self.database,
                    clip,
                    key_frames,
                    folders,
                    options,
                    renumbered=renumbered,
                    trust_folder=trust_folder,
                    series_of=series_of,
                )
            except Misfit as misfit:
                self.reject(clip, misfit.code, str(misfit))
            else:
                done.append((clip, one))
        self._take_cut(done)
        self._note_folders(found.others)
        for note in self._noticed.notes():
            self.note(note)
        if not self._videos:
            raise nothing_found(
                self.root, self.title, self.folders.archives, self._warnings, self._rejected
            )
        return self._index(annotation, edition)

    def _take_cut(self, done: Sequence[tuple[AnnotatedClip, Cut]]) -> None:
        """Take clips with their frames; if others are numbered anew, those in doubt are none."""
        anew = sum(one.code == "renumbered" for one in self._rejected)
        if anew:
            self.warn(
                f"{anew} of {len(done) + len(self._rejected)} clips have frames that are numbered "
                "anew from the start of the clip, and are rejected: '--numbers anew' takes them in "
                "order"
            )
        for clip, one in done:
            if one.doubt and anew >= SEVERAL and self.request.options.numbers == "auto":
                words = f"{one.doubt} as {anew} other clips here are; say which with '--numbers'"
                self.reject(clip, "ambiguous-numbers", words)
                continue
            for note in one.notes:
                self.note(note)
            self._videos.append(one.video)

    def _note_folders(self, others: Sequence[str]) -> None:
        if others:
            self.note(f"also there, not used: {', '.join(others)}; choose with --frames")
        for path in sorted(self.folders.closed):
            name = path.relative_to(self.root).as_posix()
            self.note(f"{name}: no permission to look into this folder; it is left out")
        for doubled in sorted(self.folders.doubled):
            self.note(f"doubled folder {doubled}")

    def _index(self, annotation: Path | None, edition: str) -> DatabaseIndex:
        videos = tuple(
            sorted(map(self._remarked, self._videos), key=lambda video: (video.subject, video.clip))
        )
        without = mappings_without_column(self.database, videos)
        if without:
            self.note(
                "no objective classes in this copy: no clip takes part under the mapping(s) "
                f"{', '.join(without)}"
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
            corrections=tuple(self._applied),
            counts=()
            if synthetic
            else compare_with_published(self.database, videos, edition, self._impossible),
            notes=tuple(self.notes),
            warnings=tuple(self._warnings),
            options=self.request.options,
        )

    def _remarked(self, video: SourceVideo) -> SourceVideo:
        """A video with what was noticed in its row."""
        noticed = self._noticed.remarks(video.subject, video.clip)
        return replace(video, remarks=(*noticed, *video.remarks)) if noticed else video
