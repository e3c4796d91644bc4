"""Face detection: Dlib's HOG frontal detector, boxes out."""

from dataclasses import dataclass

import dlib
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.kernels.threads import PerThread


@dataclass(frozen=True)
class FaceBox:
    """A face in pixels of the full image; `right` and `bottom` are inclusive."""

    left: int
    top: int
    right: int
    bottom: int
    score: float
    """Detector confidence; higher is surer, the scale is Dlib's."""

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.right - self.left + 1

    @property
    def centre(self) -> tuple[float, float]:
        """Centre `(x, y)`."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def moved(self, right: int, down: int) -> "FaceBox":
        """The box shifted by whole pixels."""
        return FaceBox(
            left=self.left + right,
            top=self.top + down,
            right=self.right + right,
            bottom=self.bottom + down,
            score=self.score,
        )

    def with_margin(self, share: float, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom (exclusive) of the box and a margin, inside an image.

        Args:
            share: Margin as a share of the box's width.
            height: Of the image.
            width: Of the image.
        """
        margin = round(self.width * share)
        left, top = max(0, self.left - margin), max(0, self.top - margin)
        right, bottom = min(width, self.right + 1 + margin), min(height, self.bottom + 1 + margin)
        return left, top, max(right, left + 1), max(bottom, top + 1)

    def scaled(self, horizontally: float, vertically: float) -> "FaceBox":
        """The box of the same face in an image that is larger by these factors."""
        return FaceBox(
            left=round(self.left * horizontally),
            top=round(self.top * vertically),
            right=round((self.right + 1) * horizontally) - 1,
            bottom=round((self.bottom + 1) * vertically) - 1,
            score=self.score,
        )


class FaceDetector:
    """Dlib's frontal face detector (HOG and a linear classifier).

    It finds faces of about 80 px and more; each upsampling halves that and costs
    four times the time. Several threads may use one: Dlib's object keeps the pyramid of the
    picture that it looks at, so each thread looks through its own.
    """

    def __init__(self) -> None:
        self._detector = PerThread(dlib.get_frontal_face_detector)

    def detect(self, grey: NDArray[np.uint8], upsample: int = 0) -> list[FaceBox]:
        """Find faces in a grey image `[height, width]`, surest first.

        Args:
            grey: Image, uint8.
            upsample: How many times to double the image first.
        """
        boxes, scores, _ = self._detector.get().run(grey, upsample, 0.0)
        found = [
            FaceBox(box.left(), box.top(), box.right(), box.bottom(), float(score))
            for box, score in zip(boxes, scores, strict=True)
        ]
        return sorted(found, key=lambda box: -box.score)


def same_face(one: FaceBox, other: FaceBox) -> bool:
    """Whether two boxes cover the same face: their overlap is over 0.3 of their union."""
    width = min(one.right, other.right) - max(one.left, other.left) + 1
    height = min(one.bottom, other.bottom) - max(one.top, other.top) + 1
    shared = max(width, 0) * max(height, 0)
    union = sum((box.width * (box.bottom - box.top + 1)) for box in (one, other)) - shared
    return shared > 0.3 * union


def main_face(boxes: list[FaceBox], height: int, width: int) -> FaceBox | None:
    """The largest and most central face, or None.

    Size counts first; the distance of the centre from the image centre, relative to
    the half diagonal, takes off up to half of it.
    """

    def prominence(box: FaceBox) -> float:
        x, y = box.centre
        away = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) / (np.hypot(width, height) / 2)
        return float(box.width * (1 - 0.5 * min(away, 1.0)))

    return max(boxes, key=prominence, default=None)
