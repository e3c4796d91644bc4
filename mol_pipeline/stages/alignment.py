"""The frames of one video to aligned faces: detect, track, landmarks, align, in one pass."""

import bisect
import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.config import BuildConfig, FlowConfig
from mol_pipeline.contract.rejections import Rejection
from mol_pipeline.contract.shard_layout import ALIGNED_PX, FaceStatus
from mol_pipeline.kernels.alignment import AlignedFace
from mol_pipeline.kernels.continuity import PictureJumps
from mol_pipeline.kernels.detection import FaceBox, FaceDetector
from mol_pipeline.kernels.flow import TVL1
from mol_pipeline.kernels.landmarks import LandmarkPredictor, find_landmark_model
from mol_pipeline.kernels.light import match_light
from mol_pipeline.kernels.recognition import FaceRecogniser
from mol_pipeline.kernels.tracking import FaceTracker
from mol_pipeline.reading.frames import Grey
from mol_pipeline.shards.clip_rows import RowFile, is_large
from mol_pipeline.stages.placement import LandmarkPlacer, Placer, RegisteredPlacer


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
    kernels = Kernels(
        detector=FaceDetector(),
        predictor=_load_predictor(landmark_model),
        flow=TVL1(flow),
        recogniser=_recogniser(),
    )
    # Dlib makes its iterator types when they are first used; two threads that met there failed.
    nothing = np.zeros((100, 100), dtype=np.uint8)
    kernels.detector.detect(nothing)
    kernels.predictor.predict(nothing, FaceBox(10, 10, 90, 90, score=0.0))
    return kernels


@functools.lru_cache(maxsize=1)
def _load_predictor(landmark_model: Path) -> LandmarkPredictor:
    return LandmarkPredictor(landmark_model)


@functools.lru_cache(maxsize=1)
def _recogniser() -> FaceRecogniser:
    return FaceRecogniser()  # reads its network when it is first asked


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
    residual_px: float | None = None
    """Median over the registered frames of what did not move as the head, aligned pixels; None
    where none was registered."""
    is_in_one_light: bool = False
    """Whether a change of light between two frames is taken out before their flow."""

    def flow(self, kernels: Kernels, first: int, second: int) -> NDArray[np.float32]:
        """Flow `[2, 144, 144]` between the frames at two positions."""
        reference, moving = self.faces[first].image, self.faces[second].image
        if self.is_in_one_light:
            moving = match_light(reference, moving)
        return kernels.flow(reference, moving)

    def clip_flow(self, kernels: Kernels, clip: Sequence[int]) -> NDArray[np.float16]:
        """Flow `[t - 1, 2, 144, 144]` between the frames at the positions of a clip, as stored."""
        pairs = itertools.pairwise(clip)
        return np.stack([self.flow(kernels, *pair) for pair in pairs]).astype(np.float16)


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
        again: Reads frames anew: those without a face, if their landmarks are interpolated.
        faces: Takes the aligned faces; in memory if None.

    Raises:
        Rejection: If a frame has no face and the policy is to reject, or none has one.
        PictureCut: If the picture jumps and that is not to be ignored.
    """
    tracker = FaceTracker(kernels.detector, kernels.predictor, config.detection, kernels.recogniser)
    jumps, before = PictureJumps(), -1
    faces = AlignedFaces() if faces is None else faces
    statuses: dict[int, FaceStatus] = {}
    landmarks: dict[int, NDArray[np.float64]] = {}
    faceless, unplaced = list[int](), list[int]()
    others: dict[int, tuple[FaceBox, ...]] = {}
    placer = _placer(config)
    count = several = 0
    for position, grey in frames:
        count += 1
        has_jumped = jumps.at(grey)
        face = tracker.find(grey)
        if (has_jumped or tracker.is_replaced) and config.sampling.cuts != "ignore":
            raise PictureCut(before, position)
        before = position
        if face is None and config.detection.no_face == "track":
            face = tracker.follow(grey)
        if face is None:
            faceless.append(position)
            continue
        several += face.faces > 1
        if face.others:
            others[position] = face.others
        landmarks[position], statuses[position] = face.landmarks, face.status
        with _named(position):
            placed = placer.place(grey, face.landmarks)
        if placed is None:
            unplaced.append(position)
        else:
            faces[position] = placed
    _refuse(config, count, faceless, statuses)
    _interpolate(faceless, landmarks, statuses)
    _mark_unregistered(statuses, unplaced)
    for position, grey in again(left) if (left := sorted([*faceless, *unplaced])) else ():
        with _named(position):
            faces[position] = placer.place_late(position, grey, landmarks)
    registered = config.alignment.reference == "registered"
    return AlignedVideo(faces, statuses, several, others, _residual(placer), registered)


def _interpolate(
    faceless: Sequence[int],
    landmarks: dict[int, NDArray[np.float64]],
    statuses: dict[int, FaceStatus],
) -> None:
    """Give frames without a face landmarks from their neighbours."""
    known = sorted(landmarks)
    for position in faceless:
        landmarks[position] = interpolate_landmarks(position, known, landmarks)
    statuses |= dict.fromkeys(faceless, FaceStatus.INTERPOLATED)


def _placer(config: BuildConfig) -> Placer:
    reference = config.alignment.reference
    if reference == "registered":
        return RegisteredPlacer()
    return LandmarkPlacer(is_common=reference == "video")


def _residual(placer: Placer) -> float | None:
    residuals = placer.residuals if isinstance(placer, RegisteredPlacer) else []
    # Rounded: what is below is no more than the order in which numbers were added.
    return round(float(np.median(residuals)), 4) if residuals else None


def _mark_unregistered(statuses: dict[int, FaceStatus], positions: Iterable[int]) -> None:
    for position in positions:  # one without a face stays that
        if statuses[position] is not FaceStatus.UNCONFIRMED:
            statuses[position] = FaceStatus.UNREGISTERED


def _refuse(
    config: BuildConfig, count: int, faceless: list[int], statuses: dict[int, FaceStatus]
) -> None:
    """Reject a video with frames without a face, or doubtful ones, where that is asked for."""
    if faceless and (config.detection.no_face in {"reject", "fail"} or not statuses):
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


@contextlib.contextmanager
def _named(position: int) -> Iterator[None]:
    """Landmarks that give no transform, as the rejection of their video."""
    try:
        yield
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
