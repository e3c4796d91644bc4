"""The face of a video from frame to frame: detect once, hold the box, look again when in doubt.

Dlib's detector looks at a pyramid of sizes, so its box jumps by a fifth when a face is between
two of them, and the landmarks jump with it. A box that is held while the face stays in its
place gives steadier landmarks than a new one in every frame, at a fraction of the time; on
real footage the two differ by less than a pixel on average (decision record 0012).

The face of the first frame is that of the person whom the video is about. Another face is none of
this person, wherever it is (decision record 0017).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.config import DetectionConfig
from mol_pipeline.contract.shard_layout import FaceStatus
from mol_pipeline.kernels.alignment import align_face
from mol_pipeline.kernels.continuity import face_thumbnail, likeness
from mol_pipeline.kernels.detection import FaceBox, FaceDetector, main_face, same_face
from mol_pipeline.kernels.geometry import eye_centres
from mol_pipeline.kernels.landmarks import LandmarkPredictor
from mol_pipeline.kernels.recognition import FaceRecogniser, is_same_person

CONFIRM_FACE_PX = 90
"""A face is confirmed in a small picture of itself, this wide: the detector knows 80 px and up."""
CONFIRM_MARGIN = 0.25
"""Of the box's width, around it."""
ALIKE = 0.88
"""Correlation of two small pictures of a face above which nobody is asked who it is. People differ
by more: 0.88 is the most that pictures of two had in common."""
LARGEST_STEP = 1.5
"""Of the width of a face from frame to frame: two levels of the detector's pyramid."""


@dataclass(frozen=True)
class TrackedFace:
    """The face of one frame."""

    landmarks: NDArray[np.float64]
    """`[68, 2]`, pixels of the frame."""
    status: FaceStatus
    faces: int
    """Faces that the detector saw; 1 where it did not look for others."""
    others: tuple[FaceBox, ...] = ()
    """Those of them that are not this one."""


@dataclass(frozen=True)
class _Held:
    """A detected box and where the landmarks were in it."""

    box: FaceBox
    centre: NDArray[np.float64]
    eye_distance: float
    is_doubtful: bool


class _Person:
    """The one whom a video is about, as the first frame shows them.

    Args:
        aligned: Their face `[144, 144]`.
        recogniser: Is asked when another picture is unlike the last; None: never.
    """

    def __init__(self, aligned: NDArray[np.uint8], recogniser: FaceRecogniser | None) -> None:
        self._first = aligned
        self._description: NDArray[np.float64] | None = None
        self._last = face_thumbnail(aligned)
        self._recogniser = recogniser

    def is_in(self, aligned: NDArray[np.uint8], *, is_elsewhere: bool) -> bool:
        """Whether an aligned face is theirs."""
        thumbnail = face_thumbnail(aligned)
        is_like = likeness(thumbnail, self._last) >= ALIKE
        if (is_elsewhere or not is_like) and not self._is_recognised(aligned):
            return False
        self._last = thumbnail
        return True

    def _is_recognised(self, aligned: NDArray[np.uint8]) -> bool:
        if self._recogniser is None:
            return True
        if self._description is None:
            self._description = self._recogniser.describe(self._first)
        return is_same_person(self._description, self._recogniser.describe(aligned))


class FaceTracker:
    """Finds the face of one video, frame after frame in their order.

    Args:
        detector: Dlib's detector.
        predictor: Dlib's landmark predictor.
        config: How often to detect and when to doubt.
        recogniser: Tells people apart; one of its own if None.
    """

    def __init__(
        self,
        detector: FaceDetector,
        predictor: LandmarkPredictor,
        config: DetectionConfig,
        recogniser: FaceRecogniser | None = None,
    ) -> None:
        self._detector = detector
        self._predictor = predictor
        self._config = config
        self._recogniser = recogniser or FaceRecogniser()
        self._held: _Held | None = None
        self._person: _Person | None = None
        self._frames = 0
        self._absent = 0
        self.is_replaced = False
        """Whether in the last frame another face is where that of the person was just before."""

    def find(self, grey: NDArray[np.uint8]) -> TrackedFace | None:
        """The face of the next frame `[height, width]`, None if there is none to be found."""
        due = self._config.detect_every and self._frames % self._config.detect_every == 0
        self._frames += 1
        found = None if due else self._held_face(grey)
        found = found or self._detect(grey)
        self.is_replaced = self.is_replaced and found is None
        self._absent = 0 if found else self._absent + 1
        return found

    def _held_face(self, grey: NDArray[np.uint8]) -> TrackedFace | None:
        """The face in the held box, if it is still there."""
        if self._held is None:
            return None
        landmarks = self._predictor.predict(grey, self._held.box)
        if not self._is_in_place(landmarks) or not self._is_confirmed(grey):
            return None
        if not self._is_person(grey, landmarks):
            return None
        status = FaceStatus.DOUBTFUL if self._held.is_doubtful else FaceStatus.TRACKED
        return TrackedFace(landmarks, status, faces=1)

    def follow(self, grey: NDArray[np.uint8]) -> TrackedFace | None:
        """Landmarks where the face was last, although no detector confirms it."""
        if self._held is None:
            return None
        landmarks = self._predictor.predict(grey, self._held.box)
        return TrackedFace(landmarks, FaceStatus.UNCONFIRMED, faces=0)

    def _is_in_place(self, landmarks: NDArray[np.float64]) -> bool:
        held = self._held
        if held is None:
            return False
        drift = np.linalg.norm(landmarks.mean(axis=0) - held.centre) / held.box.width
        growth = abs(_eye_distance(landmarks) / max(held.eye_distance, 1.0) - 1.0)
        limit = self._config
        return bool(drift <= limit.largest_drift and growth <= limit.largest_growth)

    def _is_confirmed(self, grey: NDArray[np.uint8]) -> bool:
        """Whether the detector sees a face in a small picture of the box."""
        if not self._config.confirm or self._held is None:
            return True
        box = self._held.box
        left, top, right, bottom = box.with_margin(CONFIRM_MARGIN, *grey.shape)
        scale = CONFIRM_FACE_PX / box.width
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        small = cv2.resize(grey[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
        return bool(self._detector.detect(small))

    def _detect(self, grey: NDArray[np.uint8]) -> TrackedFace | None:
        boxes, status = find_faces(grey, self._detector, self._config)
        self.is_replaced = False
        for box in self._candidates(boxes, *grey.shape):
            landmarks = self._predictor.predict(grey, box)
            is_there = self._held is not None and same_face(box, self._held.box)
            if not self._is_person(grey, landmarks, is_elsewhere=not is_there):
                self.is_replaced |= is_there and not self._absent
                continue
            is_doubtful = self._is_doubtful(box, landmarks)
            self._held = _Held(
                box, landmarks.mean(axis=0), _eye_distance(landmarks), is_doubtful=is_doubtful
            )
            others = tuple(one for one in boxes if one is not box)
            status = FaceStatus.DOUBTFUL if is_doubtful else status
            return TrackedFace(landmarks, status, faces=len(boxes), others=others)
        return None

    def _candidates(self, boxes: list[FaceBox], height: int, width: int) -> Iterator[FaceBox]:
        """Boxes that may be the person's, the likeliest first."""
        if self._held is None:
            first = main_face(boxes, height, width)
            yield from () if first is None else (first,)
            return
        held = self._held.box
        # With others in the picture, stay with the one whom the video is about.
        there = [box for box in boxes if same_face(box, held)]
        elsewhere = [box for box in boxes if box not in there]
        if self._config.person == "place":
            elsewhere = [] if self._absent else [box for box in elsewhere if goes_on(held, box)]
        for group in (there, elsewhere):
            while group:
                best = main_face(group, height, width)
                yield best  # type: ignore[misc]  # of a list that is not empty
                group = [box for box in group if box is not best]

    def _is_person(
        self, grey: NDArray[np.uint8], landmarks: NDArray[np.float64], *, is_elsewhere: bool = False
    ) -> bool:
        try:
            aligned = align_face(grey, landmarks).image
        except ValueError:  # a broken detection, which alignment will name
            return True
        if self._person is None:
            by_network = self._config.person == "network"
            self._person = _Person(aligned, self._recogniser if by_network else None)
            return True
        return self._person.is_in(aligned, is_elsewhere=is_elsewhere)

    def _is_doubtful(self, box: FaceBox, landmarks: NDArray[np.float64]) -> bool:
        left, right = eye_centres(landmarks)
        turn = abs(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0])))
        return bool(box.score < self._config.least_score or turn > self._config.largest_turn)


def goes_on(held: FaceBox, box: FaceBox) -> bool:
    """Whether a face may have come from one box to another, near it, from frame to frame."""
    away = np.hypot(box.centre[0] - held.centre[0], box.centre[1] - held.centre[1])
    return bool(away <= held.width and 1 / LARGEST_STEP <= box.width / held.width <= LARGEST_STEP)


def find_faces(
    grey: NDArray[np.uint8], detector: FaceDetector, config: DetectionConfig
) -> tuple[list[FaceBox], FaceStatus]:
    """Faces of a frame: in a reduced image if asked for, then at full size, then enlarged."""
    height, width = grey.shape
    if config.search_px is not None and config.search_px < max(height, width):
        shrink = config.search_px / max(height, width)
        size = (round(width * shrink), round(height * shrink))
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        boxes = [
            _refined(grey, box.scaled(width / size[0], height / size[1]), detector)
            for box in detector.detect(small)
        ]
        if boxes:
            return boxes, FaceStatus.DETECTED
    boxes = detector.detect(grey)
    if boxes:
        return boxes, FaceStatus.DETECTED
    for upsample in range(1, config.upsample + 1):
        boxes = detector.detect(grey, upsample)
        if boxes:
            return boxes, FaceStatus.UPSAMPLED
    return [], FaceStatus.DETECTED


def _refined(grey: NDArray[np.uint8], rough: FaceBox, detector: FaceDetector) -> FaceBox:
    """A box found in a reduced image, found again around it at full size."""
    left, top, right, bottom = rough.with_margin(0.35, *grey.shape)
    part = np.ascontiguousarray(grey[top:bottom, left:right])
    found = [box.moved(left, top) for box in detector.detect(part)]
    return next((box for box in found if same_face(box, rough)), rough)


def _eye_distance(landmarks: NDArray[np.float64]) -> float:
    left, right = eye_centres(landmarks)
    return float(np.linalg.norm(right - left))
