"""What every adapter returns: the videos of a database, before any image is read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mol_pipeline.contract.manifest import (
    Correction,
    CountCheck,
    KeyFrames,
    RejectedVideo,
    hash_document,
)


@dataclass(frozen=True)
class SourceVideo:
    """One clip of the source: frame files, subject, label, key frames."""

    database: str
    subject: str
    clip: str
    raw_label: str
    key_frames: KeyFrames
    folder: str
    """Folder of the frames, relative to the root, with forward slashes."""
    frames: tuple[tuple[int, str], ...]
    """(number in the file name, file name), sorted by number."""
    missing: tuple[int, ...] = ()
    """Numbers between first and last for which there is no file."""

    @property
    def key(self) -> str:
        """Unique name inside its database."""
        return f"{self.database}/{self.subject}/{self.clip}"


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

    def fingerprint(self) -> str:
        """Hash over identities, labels, key frames, and name and size of every frame file."""
        return hash_document(
            [
                [
                    video.key,
                    video.raw_label,
                    video.key_frames.model_dump(mode="json"),
                    video.folder,
                    [
                        [number, name, (self.root / video.folder / name).stat().st_size]
                        for number, name in video.frames
                    ],
                ]
                for video in self.videos
            ]
        )


class Adapter(Protocol):
    """How one database is read."""

    name: str

    def index(
        self, root: Path, *, annotation: Path | None = None, apply_corrections: bool = True
    ) -> DatabaseIndex:
        """List the videos under `root` without decoding an image.

        Raises:
            SourceError: If the root or the annotation is absent, unreadable or of another kind.
        """
        ...


@dataclass
class Findings:
    """What an adapter collects on its way."""

    videos: list[SourceVideo] = field(default_factory=list)
    rejected: list[RejectedVideo] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)

    def sorted_videos(self) -> tuple[SourceVideo, ...]:
        """Videos in the order in which they are stored, whatever the order on disk."""
        return tuple(sorted(self.videos, key=lambda video: (video.subject, video.clip)))

    def sorted_rejected(self) -> tuple[RejectedVideo, ...]:
        """Rejections in a fixed order."""
        return tuple(sorted(self.rejected, key=lambda one: (one.subject, one.clip, one.code)))


def missing_numbers(frames: Sequence[tuple[int, str]], first: int, last: int) -> tuple[int, ...]:
    """Numbers from `first` to `last`, inclusive, for which there is no file."""
    present = {number for number, _ in frames}
    return tuple(number for number in range(first, last + 1) if number not in present)
