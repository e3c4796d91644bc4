"""What every adapter returns: the videos of a database, before any image is read."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mol_pipeline.contract.action_units import ActionUnits
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import hash_document
from mol_pipeline.contract.gaps import Gaps
from mol_pipeline.contract.index_document import IndexDocument, count_clips
from mol_pipeline.contract.labels import (
    LabelMapping,
    label_mapping,
    label_mappings,
    labels_under_every_mapping,
)
from mol_pipeline.contract.manifest import (
    ClassSet,
    ClipRecord,
    Correction,
    CountCheck,
    IndexOptions,
    KeyFrames,
    RejectedVideo,
)
from mol_pipeline.contract.unit_notation import ACTION_UNITS, read_action_units

Expression = Literal["all", "micro", "macro"]


@dataclass(frozen=True)
class SourceVideo:
    """One clip of the source: frame files, subject, label, key frames."""

    database: str
    subject: str
    person: str
    """Who it shows, the same over all databases that filmed the same people."""
    clip: str
    raw_label: str
    key_frames: KeyFrames
    folder: str
    """Folder of the frames, or the video file, relative to the root, with forward slashes."""
    frames: tuple[tuple[int, str], ...]
    """(number, file name), sorted by number; the name is empty for frames of a video file."""
    missing: Gaps = ()
    """Numbers between first and last for which there is no file, as runs."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Further cells: `action_units`, `objective_class`, `expression` (micro or macro), ..."""
    frame_labels: tuple[str, ...] = ()
    """Label of each frame, where the owners label frames and not clips."""
    times: tuple[float, ...] = ()
    """Seconds of each frame, where the steps between frames are unequal; else empty."""
    rate: float | None = None
    """Frames a second, where the source says; None where it does not."""
    remarks: tuple[str, ...] = ()
    """What is changed, joined, scaled, left out or assumed about it, a sentence each."""

    @property
    def key(self) -> str:
        """Unique name over all databases."""
        return f"{self.database}/{self.subject}/{self.clip}"

    @property
    def action_units(self) -> ActionUnits | None:
        """What the owners' text says of each action unit; None if there is no text."""
        text = self.annotations.get(ACTION_UNITS)
        return read_action_units(text) if text else None

    @property
    def has_distinct_apex(self) -> bool:
        """Whether the owners annotated an apex, and not on the onset."""
        return self.key_frames.has_distinct_apex


@dataclass(frozen=True)
class DatabaseIndex:
    """Everything an adapter found under a root."""

    database: str
    root: Path
    videos: tuple[SourceVideo, ...]
    """Sorted by subject and clip."""
    annotation: Path | None = None
    synthetic: bool = False
    rejected: tuple[RejectedVideo, ...] = ()
    corrections: tuple[Correction, ...] = ()
    counts: tuple[CountCheck, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Those of the notes that a user must know before using the clips."""
    options: IndexOptions = field(default_factory=IndexOptions)

    @property
    def mappings(self) -> tuple[LabelMapping, ...]:
        """Every label mapping that its clips can be read under."""
        return label_mappings(self.database, (video.raw_label for video in self.videos))

    @property
    def class_sets(self) -> tuple[ClassSet, ...]:
        """The classes of every mapping."""
        return tuple(ClassSet(mapping=one.name, classes=one.classes) for one in self.mappings)

    def only(self, expression: Expression) -> "DatabaseIndex":
        """The index with one kind of expression; its counts stay those of the whole copy."""
        if expression == "all":
            return self
        kept = tuple(
            video
            for video in self.videos
            if video.annotations.get("expression", "micro") == expression
        )
        note = f"only {expression}-expressions: {len(kept)} of {len(self.videos)} clips"
        options = self.options.model_copy(update={"expression": expression})
        return replace(self, videos=kept, notes=(*self.notes, note), options=options)

    def warned(self, text: str) -> "DatabaseIndex":
        """The index with one more warning."""
        return replace(self, notes=(*self.notes, text), warnings=(*self.warnings, text))

    def document(self, mapping: str | None = None) -> IndexDocument:
        """What was found, counted under a label mapping or by the owners' own words.

        Raises:
            ConfigError: If the database has no such mapping.
        """
        mappings = self.mappings
        clips = tuple(clip_record(video, mappings) for video in self.videos)
        classes: tuple[str, ...] = ()
        if mapping is not None:
            try:
                classes = label_mapping(mappings, mapping).classes
            except KeyError as error:
                raise ConfigError(f"--classes for {self.database}: {error.args[0]}") from error
        by_class, by_subject = count_clips(clips, classes, mapping)
        videos = sum(by_subject.values())
        frames = _count_frames(self.videos, mappings, mapping)
        if frames is not None:
            # A video with a label for each frame takes part, whatever its words.
            by_class = frames
            by_subject = dict(sorted(Counter(video.subject for video in self.videos).items()))
            videos = len(self.videos)
        kinds = Counter(video.annotations.get("expression", "micro") for video in self.videos)
        return IndexDocument(
            database=self.database,
            synthetic=self.synthetic,
            annotation=self.annotation.name if self.annotation else None,
            mapping=mapping,
            videos=videos,
            subjects=len(by_subject),
            by_class=by_class,
            by_subject=by_subject,
            by_expression=dict(sorted(kinds.items())) if frames is None else {},
            counted="videos" if frames is None else "frames",
            found=len(self.videos),
            corrections=self.corrections,
            rejected=self.rejected,
            missing_frames={
                f"{video.subject}/{video.clip}": video.missing
                for video in self.videos
                if video.missing
            },
            counts=self.counts,
            notes=self.notes,
            mappings=self.class_sets,
            clips=clips,
        )

    def fingerprint(self) -> str:
        """Hash over identities, labels, key frames, and name and size of every frame file."""
        return hash_document(
            [
                [
                    video.key,
                    video.raw_label,
                    dict(video.annotations),
                    video.key_frames.model_dump(mode="json"),
                    video.folder,
                    list(video.frame_labels),
                    [[number, name] for number, name in video.frames],
                    self._sizes(video),
                ]
                for video in self.videos
            ]
        )

    def _sizes(self, video: SourceVideo) -> list[int]:
        place = self.root / video.folder
        if place.is_file():
            return [place.stat().st_size]
        return [(place / name).stat().st_size for _, name in video.frames]


def clip_record(video: SourceVideo, mappings: tuple[LabelMapping, ...]) -> ClipRecord:
    """A source video as it is written into documents."""
    return ClipRecord(
        database=video.database,
        subject=video.subject,
        person=video.person,
        clip=video.clip,
        raw_label=video.raw_label,
        annotations=dict(video.annotations),
        action_units=video.action_units,
        labels=labels_under_every_mapping(mappings, video),
        key_frames=video.key_frames,
        frames_found=len(video.frames),
        frames_missing=video.missing,
        remarks=video.remarks,
    )


def _count_frames(
    videos: tuple[SourceVideo, ...], mappings: tuple[LabelMapping, ...], mapping: str | None
) -> dict[str, int] | None:
    """Frames by class, if the database labels frames; else None."""
    words = Counter(word for video in videos for word in video.frame_labels)
    if not words:
        return None
    if mapping is None:
        return dict(sorted(words.items()))
    chosen = label_mapping(mappings, mapping)
    counts = Counter({chosen.table[word]: n for word, n in words.items() if word in chosen.table})
    return {name: counts[name] for name in chosen.classes}
