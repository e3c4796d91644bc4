"""One video through the kernels: sample, read, detect, landmarks, align, flow.

An outcome is a prepared video or a named rejection; neither stops a build.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline import sampling
from mol_pipeline.alignment import AlignedFace, align_face
from mol_pipeline.config import BuildConfig, DetectionConfig, FlowConfig
from mol_pipeline.contract.labels import LabelMapping
from mol_pipeline.contract.manifest import RejectedVideo, VideoRecord
from mol_pipeline.contract.shard_layout import FaceStatus
from mol_pipeline.databases.index import SourceVideo, clip_record
from mol_pipeline.detection import FaceBox, FaceDetector, main_face
from mol_pipeline.flow import TVL1
from mol_pipeline.frames import Grey, read_grey, read_video_frames
from mol_pipeline.landmarks import LandmarkPredictor
from mol_pipeline.shards import PreparedVideo


class Rejection(Exception):  # not an error of the program: an outcome of a video
    """A video cannot be prepared; carries the reason code and the message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Kernels:
    """The loaded models and solvers of one process."""

    detector: FaceDetector
    predictor: LandmarkPredictor
    flow: TVL1


@functools.lru_cache(maxsize=2)
def load_kernels(flow: FlowConfig, landmark_model: Path | None) -> Kernels:
    """Load detector, predictor (100 MB) and solver once a process."""
    cv2.setNumThreads(1)  # one thread per worker: N processes times M threads would thrash
    return Kernels(
        detector=FaceDetector(),
        predictor=LandmarkPredictor(landmark_model),
        flow=TVL1(flow),
    )


def prepare_video(
    video: SourceVideo, root: Path, config: BuildConfig, landmark_model: Path | None = None
) -> PreparedVideo:
    """Take one source video to its clips.

    Raises:
        Rejection: If the video cannot be prepared: too short, a frame that is no image,
            no face.
    """
    kernels = load_kernels(config.flow, landmark_model)
    clips = choose_clips(video, config)
    used = sorted({int(position) for clip in clips for position in clip})
    greys = read_frames(video, root, used)
    landmarks, statuses = find_landmarks(greys, kernels, config.detection)
    faces: dict[int, AlignedFace] = {}
    common = None
    for position in used:
        try:
            faces[position] = align_face(greys[position], landmarks[position], common)
        except ValueError as error:
            raise Rejection("bad-landmarks", f"{video.frames[position][1]}: {error}") from error
        if config.alignment.reference == "video":
            common = faces[used[0]].transform
    return PreparedVideo(
        arrays={
            "frames": np.stack([[faces[i].image for i in clip] for clip in clips]),
            "flow": np.stack(
                [clip_flow([faces[i].image for i in clip], kernels) for clip in clips]
            ),
            "landmarks": np.stack([[faces[i].landmarks for i in clip] for clip in clips]),
            "transforms": np.stack([[faces[i].transform for i in clip] for clip in clips]),
            "source_frames": np.array([[video.frames[i][0] for i in clip] for clip in clips]),
            "face_status": np.array([[statuses[i] for i in clip] for clip in clips]),
            "phase": np.arange(len(clips)),
        },
        identity={
            "database": video.database,
            "subject": video.subject,
            "clip": video.clip,
            "raw_label": video.raw_label,
        },
        key_frames={
            field: -1
            if getattr(video.key_frames, field) is None
            else getattr(video.key_frames, field)
            for field in ("onset", "apex", "offset")
        },
    )


def choose_clips(video: SourceVideo, config: BuildConfig) -> list[NDArray[np.int64]]:
    """Positions of the frames of each clip.

    Raises:
        Rejection: If the video is too short, or has no key frames where they are asked for.
    """
    available, settings = len(video.frames), config.sampling
    if settings.phases == "keyframes":
        onset, apex = video.key_frames.onset, video.key_frames.apex
        if onset is None or apex is None:
            raise Rejection("no-key-frames", "keyframes sampling needs an annotated onset and apex")
        numbers = np.array([number for number, _ in video.frames])
        clips = sampling.key_frame_pair(numbers, onset, apex)
        if not clips:
            raise Rejection(
                "no-key-frames", f"onset {onset} and apex {apex} are not two frames on disk"
            )
        return clips
    choose = sampling.uniform_phases if settings.phases == "all" else sampling.centre_phase
    clips = choose(available, settings.frames)
    if not clips and settings.short_video == "repeat":
        clips = sampling.repeated(available, settings.frames)
    if not clips:
        raise Rejection("too-short", f"{available} frames, a clip needs {settings.frames}")
    return clips


def read_frames(video: SourceVideo, root: Path, positions: Sequence[int]) -> dict[int, Grey]:
    """Frames of a video as grey `[height, width]`, by position.

    Raises:
        Rejection: If a file cannot be read or is no image.
    """
    place = root / video.folder
    if place.is_file():
        position_of = {video.frames[position][0]: position for position in positions}
        try:
            return {
                position_of[number]: grey for number, grey in read_video_frames(place, position_of)
            }
        except (OSError, ValueError) as error:
            raise Rejection("unreadable-frame", f"{place}: {_reason(error)}") from error
    greys = {}
    for position in positions:
        path = place / video.frames[position][1]
        try:
            greys[position] = read_grey(path)
        except (OSError, ValueError) as error:
            raise Rejection("unreadable-frame", f"{path}: {_reason(error)}") from error
    return greys


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def find_landmarks(
    greys: dict[int, Grey], kernels: Kernels, config: DetectionConfig
) -> tuple[dict[int, NDArray[np.float64]], dict[int, FaceStatus]]:
    """Landmarks `[68, 2]` of every frame, by position, and how each face was found.

    Raises:
        Rejection: If a frame has no face and the policy is to reject, or none has one.
    """
    landmarks: dict[int, NDArray[np.float64]] = {}
    statuses: dict[int, FaceStatus] = {}
    for position, grey in greys.items():
        box, status = find_face(grey, kernels.detector, config)
        if box is not None:
            landmarks[position] = kernels.predictor.predict(grey, box)
            statuses[position] = status
    faceless = [position for position in greys if position not in landmarks]
    if faceless and (config.no_face == "reject" or not landmarks):
        raise Rejection(
            "no-face", f"no face in {len(faceless)} of {len(greys)} frames (first: {faceless[0]})"
        )
    known = sorted(landmarks)
    for position in faceless:
        landmarks[position] = interpolate_landmarks(position, known, landmarks)
        statuses[position] = FaceStatus.INTERPOLATED
    return landmarks, statuses


def find_face(
    grey: Grey, detector: FaceDetector, config: DetectionConfig
) -> tuple[FaceBox | None, FaceStatus]:
    """The main face of a frame: in a reduced image, then at full size, then enlarged."""
    height, width = grey.shape
    shrink = config.search_px / max(height, width)
    if shrink < 1.0:
        size = (round(width * shrink), round(height * shrink))
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        box = main_face(detector.detect(small), *small.shape)
        if box is not None:
            return box.scaled(width / size[0], height / size[1]), FaceStatus.DETECTED
    box = main_face(detector.detect(grey), height, width)
    if box is not None:
        return box, FaceStatus.DETECTED
    for upsample in range(1, config.upsample + 1):
        box = main_face(detector.detect(grey, upsample), height, width)
        if box is not None:
            return box, FaceStatus.UPSAMPLED
    return None, FaceStatus.DETECTED


def interpolate_landmarks(
    position: int, known: Sequence[int], landmarks: dict[int, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Landmarks between those of the nearest frames with a face; at the ends, theirs."""
    before = max((k for k in known if k < position), default=None)
    after = min((k for k in known if k > position), default=None)
    if before is None or after is None:
        return landmarks[before if after is None else after]  # type: ignore[index]
    weight = (position - before) / (after - before)
    return (1 - weight) * landmarks[before] + weight * landmarks[after]


def clip_flow(frames: Sequence[Grey], kernels: Kernels) -> NDArray[np.float16]:
    """Flow `[t - 1, 2, 144, 144]` between consecutive aligned frames, as stored."""
    flows = [kernels.flow(first, second) for first, second in itertools.pairwise(frames)]
    return np.stack(flows).astype(np.float16)


def video_record(
    video: SourceVideo,
    prepared: PreparedVideo,
    mappings: tuple[LabelMapping, ...],
    *,
    shard: str,
    first_row: int,
) -> VideoRecord:
    """Manifest entry of a stored video."""
    status = Counter(
        FaceStatus(value).name.lower() for value in prepared.arrays["face_status"].flat
    )
    return VideoRecord(
        **dict(clip_record(video, mappings)),
        face_frames=dict(sorted(status.items())),
        shard=shard,
        first_row=first_row,
        rows=prepared.clips,
    )


def rejected_video(video: SourceVideo, code: str, message: str) -> RejectedVideo:
    """Manifest entry of a video that could not be prepared."""
    return RejectedVideo(
        database=video.database,
        subject=video.subject,
        clip=video.clip,
        code=code,
        message=message,
    )
