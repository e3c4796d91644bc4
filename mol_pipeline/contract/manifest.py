"""The manifest: what was made from what. Written last, by rename.

A shard that no manifest names does not exist. Nothing in here depends on the
clock, the host or the number of workers, so that equal input gives equal bytes.

The file carries a hash of its own content and is read only as the bytes that it was written as:
that finds every accident. Whoever changes it by hand can make the hash anew: that is found by
comparing it with the tables inside the shards (`mol_pipeline.contract.agreement`).
"""

import statistics
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from mol_pipeline.contract.action_units import ActionUnits
from mol_pipeline.contract.files import (
    legible,
)
from mol_pipeline.contract.gaps import Gaps
from mol_pipeline.contract.records import Record
from mol_pipeline.contract.rejections import RejectionCode
from mol_pipeline.contract.shard_layout import LONGEST_CLIP, SCHEMA_VERSION
from mol_pipeline.contract.unit_notation import ACTION_UNITS, read_action_units

KeyFrameSource = Literal["annotated", "corrected", "estimated", "apex", "absent"]
"""`corrected`: a wrong cell put right; `estimated`: an empty cell filled from a published
estimate; `apex`: an offset that the owners left open, taken at the apex."""


Text = Annotated[str, BeforeValidator(legible)]
"""What may quote a name of a file system, which is not always text."""


class KeyFrames(Record):
    """Onset, apex and offset in the numbering of the source, inclusive, and whence."""

    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    onset_source: KeyFrameSource = "absent"
    apex_source: KeyFrameSource = "absent"
    offset_source: KeyFrameSource = "absent"

    @property
    def has_distinct_apex(self) -> bool:
        """Whether the owners annotated an apex, and not on the onset."""
        return self.apex_source in {"annotated", "corrected"} and self.apex != self.onset


KeyFrameRule = Literal["annotated", "first", "last", "middle", "largest-flow"]
"""`annotated`: by the table; `first` and `last` frame of the video on disk; `middle` one between
onset and offset; the one whose flow from the onset is `largest-flow`, its lengths summed."""


class StoredKeyFrames(Record):
    """The three frames of a video that are stored as its record of key frames, and why these."""

    onset: int
    """Number in the source, as of the others."""
    apex: int
    offset: int
    onset_rule: KeyFrameRule
    apex_rule: KeyFrameRule
    offset_rule: KeyFrameRule


class ClassSet(Record):
    """The classes of one label mapping, in their fixed order."""

    mapping: str
    classes: tuple[str, ...]


class ShardRecord(Record):
    """One shard file and what proves it."""

    file: str
    """Name of a file beside the manifest."""
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    content_hash: str = Field(pattern="^[0-9a-f]{64}$")
    """Hash of the arrays themselves, independent of compression."""
    clips: int = Field(ge=1)
    videos: int = Field(ge=1)


class ClipRecord(Record):
    """One video of the source: who, what, when."""

    database: str
    subject: str
    person: str
    """Who it shows, the same over all databases that filmed the same people."""
    clip: str
    """Identity inside the subject; (database, subject, clip) is unique."""
    raw_label: str
    annotations: dict[str, str] = Field(default_factory=dict)
    """Further cells of the owners' table: `action_units`, `objective_class`, `expression`."""
    action_units: ActionUnits | None = None
    """What the cell `action_units` says of each unit; None if there is none, and, until schema
    version 3, left out."""
    labels: dict[str, str]
    """Mapping name -> class name, for every mapping in which it takes part."""
    key_frames: KeyFrames
    frames_found: int = Field(ge=1)
    """Frame files used, after cutting to the annotated interval."""
    frames_missing: Gaps = ()
    """Numbers between the first and the last frame for which there is no file: a number, or
    the first and last of a run."""
    remarks: tuple[Text, ...] = ()
    """What was changed, joined, scaled, left out or assumed about it, a sentence each."""

    @property
    def key(self) -> str:
        """Unique name over all databases."""
        return f"{self.database}/{self.subject}/{self.clip}"

    @property
    def has_distinct_apex(self) -> bool:
        """Whether the owners annotated an apex, and not on the onset."""
        return self.key_frames.has_distinct_apex

    @property
    def known_units(self) -> ActionUnits | None:
        """Its action units, also from an older document that has only their text."""
        text = self.annotations.get(ACTION_UNITS)
        return self.action_units or (read_action_units(text) if text else None)

    @model_serializer(mode="wrap")
    def _without_absent(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Older documents, written again, stay what they were."""
        document: dict[str, Any] = serialise(self)
        for name in (ACTION_UNITS, "stored_key_frames", "residual_px"):
            if document.get(name, self) is None:
                del document[name]
        return document


class VideoRecord(ClipRecord):
    """One video of the source that is in a shard."""

    face_frames: dict[str, int] = Field(default_factory=dict)
    """`FaceStatus` name in lower case -> number of sampled frames with that status."""
    several_faces: int = 0
    """Sampled frames in which the detector saw more than one face."""
    residual_px: float | None = Field(default=None, ge=0)
    """Where alignment is registered: median over its frames of the median difference between the
    motion of a piece of the face and that of the head, aligned pixels. In a video that was split
    at jumps the largest of its pieces. Frames that could not be registered are counted in
    `face_frames`. Left out of documents where there is none."""
    frame_times: tuple[float, ...] = ()
    """Seconds of the frames of its clips since its first frame, row by row, where the steps
    between its frames are unequal; else empty."""
    stored_key_frames: StoredKeyFrames | None = None
    """None where there is no record of key frames, and, until schema version 4, left out."""
    shard: str
    first_row: int = Field(ge=0)
    rows: int = Field(ge=1)


class RejectedVideo(Record):
    """One video that is not in the shards, and why. Nothing vanishes."""

    database: str
    subject: Text
    clip: Text
    code: RejectionCode
    """Machine-readable reason, e.g. `no-face`, `too-short`, `unreadable-frame`."""
    message: Text


class Correction(Record):
    """A known error of a release that was put right."""

    subject: str
    clip: str
    field: str
    wrong: str
    right: str
    source: str


class CountCheck(Record):
    """What the table gives against what is published."""

    what: str
    found: int
    expected: int


HALF_MISSING = 0.5


class IndexOptions(Record):
    """How the source was read: what `molprep index` was told."""

    frames: str | None = None
    """Folder under the root that frames were taken from."""
    expression: Literal["all", "micro", "macro"] = "all"
    corrections: bool = True
    numbers: Literal["auto", "named", "anew"] = "auto"
    """What the numbers in the names of frames were taken for."""
    encoding: str | None = None
    """Of text tables, if it was named; None if it was decided by their content."""
    most_missing: float = Field(default=HALF_MISSING, ge=0, le=1)
    """Share of a clip's frames that may be absent; left out of documents where it is the half."""

    @model_serializer(mode="wrap")
    def _without_the_half(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Older documents, written again, stay what they were."""
        document: dict[str, Any] = serialise(self)
        if document.get("most_missing") == HALF_MISSING:
            del document["most_missing"]
        return document


class Part(Record):
    """Which share of a build this is: part `number` of `of`."""

    number: int = Field(ge=1)
    of: int = Field(ge=1)


class Provenance(Record):
    """Everything outside the frames that the content depends on."""

    versions: dict[str, str]
    """Distribution -> version, for those that touch the numbers."""
    landmark_model_sha256: str
    annotation_file: str | None
    """File name only: no path of the machine."""
    annotation_sha256: str | None
    source_fingerprint: str
    """Hash over names and sizes of all source frames."""
    index_options: IndexOptions = IndexOptions()
    numbers: tuple[str, ...] = ()
    """What the workers computed of one small picture, as hashes: one, unless parts of the build
    were made on processors that compute differently."""
    flow_backends: tuple[str, ...] = ()
    """What solved the optical flow: `opencv`, `numba`, or both, where workers differed. They give
    the same bytes (decision record 0028). Left out of documents of earlier versions."""
    joined: tuple["Provenance", ...] = ()
    """Of builds of different releases that `molprep merge` joined: each one's own, in order."""

    @model_serializer(mode="wrap")
    def _without_unknown_backends(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Older documents, written again, stay what they were."""
        document: dict[str, Any] = serialise(self)
        if not document.get("flow_backends", True):
            del document["flow_backends"]
        return document


class Manifest(Record):
    """The document beside the shards."""

    schema_version: int = SCHEMA_VERSION
    database: str
    synthetic: bool
    """True for demo data: no number made from it may stand beside a published one."""
    config: dict[str, Any]
    config_hash: str = Field(pattern="^[0-9a-f]{64}$")
    frames_per_clip: int = Field(ge=2, le=LONGEST_CLIP)
    mappings: tuple[ClassSet, ...] = Field(min_length=1)
    """Every label mapping of the database; the first is its default."""
    provenance: Provenance
    shards: tuple[ShardRecord, ...]
    videos: tuple[VideoRecord, ...]
    rejected: tuple[RejectedVideo, ...] = ()
    corrections: tuple[Correction, ...] = ()
    counts: tuple[CountCheck, ...] = ()
    notes: tuple[Text, ...] = ()
    """What is odd about this copy of the database."""
    part: Part | None = None
    """None for a whole build; `molprep merge` joins the parts."""
    manifest_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$", exclude=True)
    """Only in the file: SHA-256 of all other fields as JSON with sorted keys, without blanks,
    in UTF-8. From schema version 2 on."""

    @property
    def clips(self) -> int:
        """Clips in all shards."""
        return sum(shard.clips for shard in self.shards)

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Mapping name -> its classes in their fixed order."""
        return {one.mapping: one.classes for one in self.mappings}

    @property
    def alignment_words(self) -> str:
        """How the frames were aligned and, if by registration, how well that went."""
        words = str(self.config.get("alignment", {}).get("reference", "frame"))
        residuals = [one.residual_px for one in self.videos if one.residual_px is not None]
        if residuals:
            frames = sum(sum(video.face_frames.values()) for video in self.videos)
            left = sum(video.face_frames.get("unregistered", 0) for video in self.videos)
            words += (
                f"; {left} of {frames} frames ({left / max(frames, 1):.1%}) could not be "
                f"registered; residual {statistics.median(residuals):.3f} px in the median video, "
                f"{max(residuals):.3f} at most"
            )
        return words
