"""The face of a video from frame to frame: detect once, hold the box, look again when in doubt.

Dlib's detector looks at a pyramid of sizes, so its box jumps by a fifth when a face is between
two of them, and the landmarks jump with it. A box that is held while the face stays in its
place gives steadier landmarks than a new one in every frame, at a fraction of the time; on
real footage the two differ by less than a pixel on average (decision record 0012).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.config import DetectionConfig
from mol_pipeline.contract.shard_layout import FaceStatus
from mol_pipeline.detection import FaceBox, FaceDetector, main_face, same_face
from mol_pipeline.geometry import eye_centres
from mol_pipeline.landmarks import LandmarkPredictor

CONFIRM_FACE_PX = 90
"""A face is confirmed in a small picture of itself, this wide: the detector knows 80 px and up."""
CONFIRM_MARGIN = 0.25
"""Of the box's width, around it."""


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


class FaceTracker:
    """Finds the face of one video, frame after frame in their order.

    Args:
        detector: Dlib's detector.
        predictor: Dlib's landmark predictor.
        config: How often to detect and when to doubt.
    """

    def __init__(
        self, detector: FaceDetector, predictor: LandmarkPredictor, config: DetectionConfig
    ) -> None:
        self._detector = detector
        self._predictor = predictor
        self._config = config
        self._held: _Held | None = None
        self._frames = 0

    def find(self, grey: NDArray[np.uint8]) -> TrackedFace | None:
        """The face of the next frame `[height, width]`, None if there is none to be found."""
        due = self._config.detect_every and self._frames % self._config.detect_every == 0
        self._frames += 1
        if self._held is not None and not due:
            landmarks = self._predictor.predict(grey, self._held.box)
            if self._is_in_place(landmarks) and self._is_confirmed(grey):
                return TrackedFace(landmarks, FaceStatus.TRACKED, faces=1)
        return self._detect(grey)

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
        held = self._held
        # With others in the picture, stay with the one whom the video is about.
        known = [box for box in boxes if held is not None and same_face(box, held.box)]
        box = main_face(known or boxes, *grey.shape)
        if box is None:
            return None
        landmarks = self._predictor.predict(grey, box)
        self._held = _Held(box, landmarks.mean(axis=0), _eye_distance(landmarks))
        others = tuple(one for one in boxes if one is not box)
        return TrackedFace(landmarks, status, faces=len(boxes), others=others)


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
