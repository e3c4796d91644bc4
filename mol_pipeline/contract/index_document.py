"""What `molprep index --json` prints: a database without its images.

`moltrain folds --index` reads it, so that a protocol can be planned before anything
is built.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from mol_pipeline.contract.documents import Unreadable, read_document
from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.gaps import Gaps
from mol_pipeline.contract.manifest import (
    ClassSet,
    ClipRecord,
    Correction,
    CountCheck,
    Record,
    RejectedVideo,
    Text,
)
from mol_pipeline.contract.validation import first_problem

INDEX_VERSION = 1


class IndexDocument(Record):
    """The clips of a database and everything odd about the copy at hand."""

    index_version: int = INDEX_VERSION
    database: str
    synthetic: bool
    annotation: str | None
    """File name only: no path of the machine."""
    mapping: str | None
    """Label mapping that the counts are about; None for the owners' own words."""
    videos: int = Field(ge=0)
    """Clips that take part under the mapping."""
    subjects: int = Field(ge=0)
    by_class: dict[str, int]
    by_subject: dict[str, int]
    by_expression: dict[str, int]
    """Clips by kind of expression, micro or macro."""
    counted: str
    """What `by_class` counts: `videos`, or `frames` where each frame has a label."""
    found: int = Field(ge=0)
    """Clips in all, whatever the mapping."""
    corrections: tuple[Correction, ...]
    rejected: tuple[RejectedVideo, ...]
    missing_frames: dict[str, Gaps]
    """Clip -> numbers for which there is no file, or first and last of a run of them, for
    clips that lack some."""
    counts: tuple[CountCheck, ...]
    """Against the published counts."""
    notes: tuple[Text, ...]
    mappings: tuple[ClassSet, ...] = Field(min_length=1)
    """Every label mapping of the database; the first is its default."""
    clips: tuple[ClipRecord, ...]

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Mapping name -> its classes in their fixed order."""
        return {one.mapping: one.classes for one in self.mappings}

    @property
    def mismatches(self) -> tuple[CountCheck, ...]:
        """Counts that are not as published."""
        return tuple(check for check in self.counts if check.found != check.expected)


def count_clips(
    clips: Sequence[ClipRecord], classes: Sequence[str], mapping: str | None
) -> tuple[dict[str, int], dict[str, int]]:
    """Clips by class and by subject, of those that take part under a mapping.

    Args:
        clips: All clips.
        classes: Of the mapping, in order; ignored without a mapping.
        mapping: None counts the owners' words in lower case.
    """
    if mapping is None:
        words = Counter(clip.raw_label.strip().lower() for clip in clips)
        by_class = dict(sorted(words.items()))
        taking_part = clips
    else:
        taking_part = [clip for clip in clips if mapping in clip.labels]
        labels = Counter(clip.labels[mapping] for clip in taking_part)
        by_class = {name: labels[name] for name in classes}
    by_subject = Counter(clip.subject for clip in taking_part)
    return by_class, dict(sorted(by_subject.items()))


def read_index(path: Path) -> IndexDocument:
    """Read what `molprep index --json` printed.

    Raises:
        ManifestError: If it is absent, damaged or of another version.
    """
    try:
        document = IndexDocument.model_validate_json(read_document(path))
    except (FileNotFoundError, Unreadable) as error:
        raise ManifestError(
            f"{path}: {error.strerror if isinstance(error, OSError) else error}; "
            "write it with 'molprep index --dataset NAME --root DIR --json > FILE'"
        ) from error
    except ValidationError as error:
        raise ManifestError(
            f"{path}: {first_problem(error)}; is it the output of 'molprep index --json'?"
        ) from error
    if document.index_version != INDEX_VERSION:
        raise ManifestError(
            f"{path}: index version {document.index_version}, this program reads "
            f"{INDEX_VERSION}; run 'molprep index' again"
        )
    return document
