"""Settings of a build: one frozen document, written beside the shards.

Everything here changes the content of the shards. What does not (workers, memory
limits, dashboards) is an argument of the run, so that it cannot change a hash.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mol_pipeline.contract.files import hash_document
from mol_pipeline.contract.records import Settings
from mol_pipeline.contract.shard_layout import LONGEST_CLIP

LATER: dict[str, Any] = {"later": True}
"""Marks a setting that came after shards were built: its default is what was done before, and
then the hash of the settings, which is in every shard, stays as it was."""


class DetectionConfig(Settings):
    """How faces are found."""

    detect_every: int = Field(default=0, ge=0)
    """Detect anew in every n-th sampled frame; 0: in the first, then hold the box."""
    largest_drift: float = Field(default=0.06, gt=0.0)
    """A held box is given up when the landmarks moved by this share of its width,"""
    largest_growth: float = Field(default=0.08, gt=0.0)
    """or when the eyes' distance changed by this share,"""
    confirm: bool = True
    """or when the detector sees no face in a small picture of it."""
    search_px: int | None = Field(default=None, ge=80)
    """Search in the image reduced to this longer side, then refine around what was found:
    faster in large images, but the box may change by a pyramid level. None: at full size."""
    upsample: int = Field(default=1, ge=0, le=3)
    """How often to double the image when no face is found at full size."""
    no_face: Literal["reject", "interpolate", "track", "fail"] = "reject"
    """A sampled frame without a face rejects its video; takes landmarks between those of its
    neighbours in time; takes those where the face was last; or ends the build."""
    person: Literal["network", "place"] = Field(default="network", json_schema_extra=LATER)
    """How the person of a video is told from others when a face looks different or is elsewhere:
    by Dlib's network, or by place and size alone (decision record 0017)."""
    doubtful: Literal["mark", "reject"] = Field(default="mark", json_schema_extra=LATER)
    """A face that is hardly sure to be upright is marked in `face_status`, or rejects its video:"""
    least_score: float = Field(default=0.6, json_schema_extra=LATER)
    """one with a smaller score of the detector,"""
    largest_turn: float = Field(default=35.0, gt=0.0, le=180.0, json_schema_extra=LATER)
    """or whose line of eyes is turned by more degrees."""


class AlignmentConfig(Settings):
    """Where the transform to the aligned frame comes from."""

    reference: Literal["frame", "video", "registered"] = "registered"
    """`registered`: every frame by its own picture, brought to that of the first sampled frame to a
    hundredth of a pixel, so that only the face moves; a change of light between two frames is
    taken out before their flow (decision record 0029).
    `frame`: each frame by its own landmarks (MOL Sec. 4.1.3), whose jitter then is motion.
    `video`: every frame of a clip's video by the landmarks of its first sampled frame, so
    that the head and the face move (decision record 0001)."""


class ReadingConfig(Settings):
    """What is done about frames that are not whole."""

    damaged: Literal["reject", "mark"] = "reject"
    """A sampled frame that its decoder, or its file's own format, shows to be damaged, or that
    is made from one, rejects its video; or the video is kept, and its record says so."""


class SamplingConfig(Settings):
    """Which frames make a clip."""

    frames: int = Field(default=8, ge=2, le=LONGEST_CLIP)
    """t (MOL Sec. 4.1.3)."""
    phases: Literal["all", "centre", "keyframes"] = "all"
    """`keyframes` is (onset, apex) with `frames: 2` (MOL Table XIII)."""
    short_video: Literal["reject", "repeat"] = "reject"
    """What becomes of a video with fewer frames than a clip."""
    cuts: Literal["reject", "split", "ignore"] = Field(default="reject", json_schema_extra=LATER)
    """A jump of the picture, or to another face in the same place, between two sampled frames
    rejects its video; splits it, so that no clip crosses the jump; or is taken for motion."""


class SegmentConfig(Settings):
    """How long videos with a label for each frame (Aff-Wild2) become clips."""

    frames: int = Field(default=32, ge=2)
    """Neighbouring frames that make one segment."""
    largest_gap: int = Field(default=5, ge=1)
    """A larger step between two frame numbers ends a segment."""
    majority: float = Field(default=0.5, ge=0.0, lt=1.0)
    """A segment is labelled if more than this share of its frames has one label."""


ApexRule = Literal["annotated", "middle", "largest-flow", "none"]


class KeyFrameConfig(Settings):
    """Which three frames are stored as a video's record of key frames."""

    apex: ApexRule = "annotated"
    """`annotated`: by the owners' table, and no record where it has no apex of its own (none, or on
    the onset); or then the middle one of onset and offset, or the sampled frame whose flow from the
    onset is largest, as is said of each video; `none` stores no records."""


class FlowConfig(Settings):
    """Parameters of the TV-L1 solver; the defaults are OpenCV's."""

    tau: float = Field(default=0.25, gt=0.0, le=1.0)
    """Time step of the dual iteration."""
    attachment: float = Field(default=0.15, gt=0.0)
    """`lambda`: weight of the data term; smaller means smoother flow."""
    tightness: float = Field(default=0.3, gt=0.0)
    """`theta`: coupling of the auxiliary variable."""
    scales: int = Field(default=5, ge=1)
    warps: int = Field(default=5, ge=1)
    epsilon: float = Field(default=0.01, gt=0.0)
    inner_iterations: int = Field(default=30, ge=1)
    outer_iterations: int = Field(default=10, ge=1)
    scale_step: float = Field(default=0.8, gt=0.0, lt=1.0)
    median_filtering: Literal[0, 1, 3, 5] = 5
    """Side of the median filter of the flow; 0 and 1: none."""


class ShardConfig(Settings):
    """How clips are stored."""

    videos_per_shard: int = Field(default=16, ge=1)
    """A shard is the unit of commit: what a crash can cost."""
    compression: Literal["blosc2-zstd", "blosc2-lz4", "gzip", "none"] = "blosc2-zstd"
    """By measurement (decision record 0013). `gzip` can be read without a plugin (MATLAB,
    HDFView); `none` reads fastest."""


class BuildConfig(Settings):
    """All settings of `molprep build`."""

    detection: DetectionConfig = DetectionConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    segments: SegmentConfig = SegmentConfig()
    sampling: SamplingConfig = SamplingConfig()
    flow: FlowConfig = FlowConfig()
    shards: ShardConfig = ShardConfig()
    reading: ReadingConfig = Field(default=ReadingConfig(), json_schema_extra=LATER)
    key_frames: KeyFrameConfig = KeyFrameConfig()

    @property
    def document(self) -> dict[str, Any]:
        """The settings as the manifest holds them: without later ones at their default."""
        return _counted(self)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse settings of which one makes another impossible or idle."""
        sampling, segments = self.sampling, self.segments
        if sampling.phases == "keyframes":
            if sampling.frames != 2:
                raise ValueError(
                    f"sampling.phases=keyframes makes clips of 2 frames (onset and apex), but "
                    f"sampling.frames is {sampling.frames}; set sampling.frames=2 too"
                )
            for name, idle in (("short_video", "repeat"), ("cuts", "split")):
                if getattr(sampling, name) == idle:
                    raise ValueError(
                        f"sampling.{name}={idle} has no meaning for the one pair of frames of "
                        "sampling.phases=keyframes; leave it out"
                    )
        is_default = segments.frames == SegmentConfig().frames  # of databases without segments
        if (
            not is_default
            and segments.frames < sampling.frames
            and sampling.short_video == "reject"
        ):
            raise ValueError(
                f"segments.frames={segments.frames} is less than the {sampling.frames} frames of a "
                "clip (sampling.frames): every segment would be too short; make segments longer, "
                "or set sampling.short_video=repeat"
            )
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the document, from which any reader can tell that it is the same."""
        return hash_document(self.document)


def _counted(settings: Settings) -> dict[str, Any]:
    """A document of the settings without later ones that are at their default."""
    document = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if field.json_schema_extra == LATER and value == field.default:
            del document[name]
        elif isinstance(value, Settings):
            document[name] = _counted(value)
    return document
