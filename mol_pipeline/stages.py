"""One video through the kernels: sample, read, detect, landmarks, align, flow.

An outcome is a prepared video or a named rejection; neither stops a build.
"""

import bisect
import functools
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline import sampling
from mol_pipeline.alignment import AlignedFace, align_face
from mol_pipeline.clip_rows import RowFile, collected, is_large, joined
from mol_pipeline.config import BuildConfig, FlowConfig, ReadingConfig
from mol_pipeline.continuity import PictureJumps
from mol_pipeline.contract.labels import LabelMapping
from mol_pipeline.contract.manifest import RejectedVideo, VideoRecord
from mol_pipeline.contract.shard_layout import ALIGNED_PX, CLIP_ARRAYS, FaceStatus
from mol_pipeline.contract.video_table import table_numbers, table_texts
from mol_pipeline.databases.index import SourceVideo, clip_record
from mol_pipeline.detection import FaceBox, FaceDetector
from mol_pipeline.flow import TVL1
from mol_pipeline.footage import Footage, Rejection
from mol_pipeline.frames import Grey
from mol_pipeline.landmarks import LandmarkPredictor, find_landmark_model
from mol_pipeline.recognition import FaceRecogniser
from mol_pipeline.shards import PreparedVideo
from mol_pipeline.source_faults import UNREACHABLE as UNREACHABLE
from mol_pipeline.source_faults import SourceFault as SourceFault
from mol_pipeline.timing import steps_text
from mol_pipeline.tracking import FaceTracker


class PictureCut(Rejection):
    """The picture jumps from one sampled frame to the next: there is no motion between them.

    Args:
        before: Position of the last frame before the jump.
        after: Position of the first frame after it.
        numbers: The same two in the numbering of the source, for the message.
    """

    def __init__(self, before: int, after: int, numbers: tuple[int, int] | None = None) -> None:
        kind, (last, first) = ("frames", numbers) if numbers else ("positions", (before, after))
        super().__init__(
            "cut",
            f"the picture jumps between {kind} {last} and {first}: another scene, or another face "
            "in the same place; cut the film there, or see sampling.cuts",
        )
        self.before = before
        self.after = after


@dataclass(frozen=True)
class Kernels:
    """The loaded models and solvers of one process; its threads share them."""

    detector: FaceDetector
    predictor: LandmarkPredictor
    flow: TVL1
    recogniser: FaceRecogniser


_loading = threading.Lock()


def load_kernels(flow: FlowConfig, landmark_model: Path | None) -> Kernels:
    """Detector, predictor (100 MB) and solver, loaded once a process whichever thread asks."""
    with _loading:  # a cache alone would let two threads load at once
        return _load_kernels(flow, find_landmark_model(landmark_model))


@functools.lru_cache(maxsize=2)
def _load_kernels(flow: FlowConfig, landmark_model: Path) -> Kernels:
    # For the whole process. One thread for one task: N tasks times M threads would thrash.
    cv2.setNumThreads(1)
    return Kernels(
        detector=FaceDetector(),
        predictor=_load_predictor(landmark_model),
        flow=TVL1(flow),
        recogniser=_recogniser(),
    )


@functools.lru_cache(maxsize=1)
def _load_predictor(landmark_model: Path) -> LandmarkPredictor:
    return LandmarkPredictor(landmark_model)


@functools.lru_cache(maxsize=1)
def _recogniser() -> FaceRecogniser:
    return FaceRecogniser()  # reads its network when it is first asked


def prepare_video(
    video: SourceVideo,
    root: Path,
    config: BuildConfig,
    landmark_model: Path | None = None,
    *,
    scratch: Path | None = None,
) -> PreparedVideo:
    """Take one source video to its clips.

    Args:
        video: To prepare.
        root: Of its database.
        config: Of the build.
        landmark_model: Dlib's; that of its package if None.
        scratch: On whose disk the arrays of a long video lie; None: where temporary files do.

    Raises:
        Rejection: If the video cannot be prepared: too short, a frame that is no image or
            damaged, no face.
        SourceFault: If its files cannot be reached.
    """
    kernels = load_kernels(config.flow, landmark_model)
    try:
        return _prepare_whole(video, root, config, kernels, scratch)
    except PictureCut as cut:
        if config.sampling.cuts != "split" or config.sampling.phases == "keyframes":
            numbers = video.frames[cut.before][0], video.frames[cut.after][0]
            raise PictureCut(cut.before, cut.after, numbers) from None
    return _joined(video, tuple(_pieces(video, root, config, kernels, scratch)), scratch)


def _prepare_whole(
    video: SourceVideo, root: Path, config: BuildConfig, kernels: Kernels, scratch: Path | None
) -> PreparedVideo:
    """The clips of a video without a jump."""
    phases = choose_phases(video, config)
    clips = np.array(list(phases.values()))
    used = np.unique(clips).tolist()
    footage = Footage(video, root, config.reading)
    aligned = align_video(
        footage.whole(footage.frames(used)),
        kernels,
        config,
        again=footage.frames,
        faces=aligned_faces(len(used), scratch),
    )
    faces = aligned.faces
    count, t = clips.shape
    rows = {array.name: (count, *array.row_shape(t)) for array in CLIP_ARRAYS}
    images = ([faces[i].image for i in clip] for clip in clips.tolist())
    flows = (clip_flow([faces[i].image for i in clip], kernels) for clip in clips.tolist())
    return PreparedVideo(
        arrays={
            "frames": collected(map(np.stack, images), rows["frames"], np.uint8, scratch),
            "flow": collected(flows, rows["flow"], np.float16, scratch),
            "landmarks": np.stack([[faces.landmarks(i) for i in clip] for clip in clips.tolist()]),
            "transforms": np.stack([[faces.transform(i) for i in clip] for clip in clips.tolist()]),
            "source_frames": np.array([[video.frames[i][0] for i in clip] for clip in clips]),
            "face_status": np.array([[aligned.statuses[i] for i in clip] for clip in clips]),
            "phase": np.array(list(phases)),
        },
        identity=table_texts(video),
        key_frames=table_numbers(video),
        several_faces=aligned.several,
        frame_times=tuple(video.times[i] for clip in clips for i in clip) if video.times else (),
        remarks=footage.remarks,
    )


Piece = tuple[SourceVideo, PreparedVideo | Rejection]


def _pieces(
    video: SourceVideo, root: Path, config: BuildConfig, kernels: Kernels, scratch: Path | None
) -> Iterator[Piece]:
    """The pieces of a video between its jumps, each sampled and prepared as if it were a video."""
    try:
        yield video, _prepare_whole(video, root, config, kernels, scratch)
    except PictureCut as cut:
        # Between the two sampled frames the jump is not seen: what lies there is in no piece.
        for place in (slice(0, cut.before + 1), slice(cut.after, None)):
            part = replace(video, frames=video.frames[place], times=video.times[place])
            yield from _pieces(part, root, config, kernels, scratch)
    except Rejection as rejection:
        yield video, rejection


def _joined(video: SourceVideo, pieces: Sequence[Piece], scratch: Path | None) -> PreparedVideo:
    """One video of the pieces that have clips; phases count from its start.

    Raises:
        Rejection: That of the first piece, if none has.
    """
    good: list[PreparedVideo] = []
    remarks = []
    for piece, outcome in pieces:
        if isinstance(outcome, PreparedVideo):
            phase = np.asarray(outcome.arrays["phase"]) + video.frames.index(piece.frames[0])
            good.append(replace(outcome, arrays={**outcome.arrays, "phase": phase}))
    for piece, outcome in pieces:
        what = f"frames {piece.frames[0][0]} to {piece.frames[-1][0]}"
        if isinstance(outcome, Rejection):
            if not good:
                raise outcome
            remarks.append(f"split where the picture jumps: {what} left out ({outcome.code})")
        else:
            remarks.append(f"split where the picture jumps: {what}, {outcome.clips} clips")
    found = dict.fromkeys(remark for one in good for remark in one.remarks)
    return replace(
        good[0],
        arrays={
            name: joined([one.arrays[name] for one in good], scratch) for name in good[0].arrays
        },
        several_faces=sum(one.several_faces for one in good),
        frame_times=tuple(time for one in good for time in one.frame_times),
        remarks=(*found, *remarks),
    )


def choose_clips(video: SourceVideo, config: BuildConfig) -> list[NDArray[np.int64]]:
    """Positions of the frames of each clip; errors as `choose_phases`."""
    return list(choose_phases(video, config).values())


def choose_phases(video: SourceVideo, config: BuildConfig) -> dict[int, NDArray[np.int64]]:
    """Phase -> positions of the frames of its clip, as stored (`contract.shard_layout`).

    Raises:
        Rejection: If the video is too short, or has no key frames where they are asked for.
    """
    available, settings = len(video.frames), config.sampling
    if settings.phases == "keyframes":
        return {0: _key_frames(video)}
    if video.times and available >= settings.frames:
        clips = sampling.phases_in_time(video.times, settings.frames)
        if not clips:
            raise Rejection(
                "too-short",
                f"{available} frames with steps of {steps_text(video.times)} are too few in "
                f"places for {settings.frames} frames evenly in time",
            )
    else:
        clips = dict(enumerate(sampling.uniform_phases(available, settings.frames)))
    if settings.phases == "centre":
        clips = sampling.centre(clips)
    if not clips and settings.short_video == "repeat":
        clips = dict(enumerate(sampling.repeated(available, settings.frames)))
    if not clips:
        raise Rejection("too-short", f"{available} frames, a clip needs {settings.frames}")
    return clips


def _key_frames(video: SourceVideo) -> NDArray[np.int64]:
    onset, apex = video.key_frames.onset, video.key_frames.apex
    if onset is None or apex is None:
        raise Rejection("no-key-frames", "keyframes sampling needs an annotated onset and apex")
    numbers = np.array([number for number, _ in video.frames])
    clips = sampling.key_frame_pair(numbers, onset, apex)
    if not clips:
        raise Rejection(
            "no-key-frames", f"onset {onset} and apex {apex} are not two frames on disk"
        )
    return clips[0]


def read_frames(
    video: SourceVideo, root: Path, positions: Sequence[int]
) -> Iterator[tuple[int, Grey]]:
    """Frames of a video that must be whole, as (position, grey `[height, width]`), in order.

    Raises:
        Rejection: If a file is no image, or is damaged.
        SourceFault: If a file cannot be reached.
    """
    footage = Footage(video, root, ReadingConfig())
    return footage.whole(footage.frames(positions))


class AlignedFaces:
    """Aligned faces by position; the pictures of a long video lie on disk.

    Args:
        images: Takes the pictures; None: memory.
    """

    def __init__(self, images: RowFile | None = None) -> None:
        self._file = images
        self._faces: dict[int, AlignedFace] = {}
        self._rows: dict[int, int] = {}

    def __setitem__(self, position: int, face: AlignedFace) -> None:
        if self._file is not None:
            self._rows[position] = self._file.append(face.image)
            face = replace(face, image=face.image[:0, :0].copy())
        self._faces[position] = face

    def __getitem__(self, position: int) -> AlignedFace:
        face = self._faces[position]
        if self._file is None:
            return face
        return replace(face, image=self._file.row(self._rows[position]))

    def __iter__(self) -> Iterator[int]:
        return iter(self._faces)

    def __len__(self) -> int:
        return len(self._faces)

    def transform(self, position: int) -> NDArray[np.float64]:
        """Source -> aligned, without reading the picture."""
        return self._faces[position].transform

    def landmarks(self, position: int) -> NDArray[np.float64]:
        """`[68, 2]` in the aligned frame, without reading the picture."""
        return self._faces[position].landmarks


def aligned_faces(count: int, scratch: Path | None) -> AlignedFaces:
    """Room for so many faces."""
    shape = (ALIGNED_PX, ALIGNED_PX)
    if is_large((count, *shape), np.dtype(np.uint8)):
        return AlignedFaces(RowFile(shape, np.dtype(np.uint8), scratch))
    return AlignedFaces()


@dataclass(frozen=True)
class AlignedVideo:
    """The sampled frames of a video, aligned, by position."""

    faces: AlignedFaces
    statuses: dict[int, FaceStatus]
    several: int
    """Frames in which the detector saw several faces; the largest and most central counts,
    later the one that was there before."""
    others: dict[int, tuple[FaceBox, ...]]
    """The faces that did not count, where the detector saw any; boxes of the source frame."""


def align_video(
    frames: Iterable[tuple[int, Grey]],
    kernels: Kernels,
    config: BuildConfig,
    *,
    again: Callable[[Sequence[int]], Iterable[tuple[int, Grey]]],
    faces: AlignedFaces | None = None,
) -> AlignedVideo:
    """Find and align the face of every frame; one full-size frame is in memory at a time.

    Args:
        frames: (position, grey) in order.
        kernels: Of this process.
        config: Detection and alignment.
        again: Reads frames of those positions anew: those without a face, if their landmarks
            are to be interpolated.
        faces: Takes the aligned faces; in memory if None.

    Raises:
        Rejection: If a frame has no face and the policy is to reject, or none has one.
        PictureCut: If the picture jumps and that is not to be ignored.
    """
    policy = config.detection.no_face
    tracker = FaceTracker(kernels.detector, kernels.predictor, config.detection, kernels.recogniser)
    jumps = PictureJumps()
    before = -1
    faces = AlignedFaces() if faces is None else faces
    statuses: dict[int, FaceStatus] = {}
    landmarks: dict[int, NDArray[np.float64]] = {}
    faceless: list[int] = []
    others: dict[int, tuple[FaceBox, ...]] = {}
    common: NDArray[np.float64] | None = None
    count = several = 0
    for position, grey in frames:
        count += 1
        has_jumped = jumps.at(grey)
        face = tracker.find(grey)
        if (has_jumped or tracker.is_replaced) and config.sampling.cuts != "ignore":
            raise PictureCut(before, position)
        before = position
        if face is None and policy == "track":
            face = tracker.follow(grey)
        if face is None:
            faceless.append(position)
            continue
        several += face.faces > 1
        if face.others:
            others[position] = face.others
        landmarks[position], statuses[position] = face.landmarks, face.status
        faces[position] = _aligned(position, grey, face.landmarks, common)
        if config.alignment.reference == "video" and common is None:
            common = faces.transform(position)
    if faceless and (policy in {"reject", "fail"} or not landmarks):
        raise Rejection(
            "no-face", f"no face in {len(faceless)} of {count} frames (first: {min(faceless)})"
        )
    doubtful = [p for p, status in statuses.items() if status is FaceStatus.DOUBTFUL]
    if doubtful and config.detection.doubtful == "reject":
        raise Rejection(
            "doubtful-face",
            f"the face is hardly sure to be upright in {len(doubtful)} of {count} frames "
            f"(first: {min(doubtful)})",
        )
    known = sorted(landmarks)
    for position, grey in again(faceless) if faceless else ():
        between = interpolate_landmarks(position, known, landmarks)
        statuses[position] = FaceStatus.INTERPOLATED
        faces[position] = _aligned(position, grey, between, common)
    return AlignedVideo(faces, statuses, several, others)


def _aligned(
    position: int,
    grey: Grey,
    landmarks: NDArray[np.float64],
    common: NDArray[np.float64] | None,
) -> AlignedFace:
    try:
        return align_face(grey, landmarks, common)
    except ValueError as error:
        raise Rejection("bad-landmarks", f"frame at position {position}: {error}") from error


def interpolate_landmarks(
    position: int, known: Sequence[int], landmarks: dict[int, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Landmarks between those of the nearest frames with a face; at the ends, theirs."""
    place = bisect.bisect(known, position)
    if place in {0, len(known)}:
        return landmarks[known[min(place, len(known) - 1)]]
    before, after = known[place - 1], known[place]
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
        FaceStatus(value).name.lower() for value in np.asarray(prepared.arrays["face_status"]).flat
    )
    record = clip_record(video, mappings)
    return VideoRecord(
        **{**dict(record), "remarks": (*record.remarks, *prepared.remarks)},
        face_frames=dict(sorted(status.items())),
        several_faces=prepared.several_faces,
        frame_times=prepared.frame_times,
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
