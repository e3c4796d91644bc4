"""Face detection: Dlib's HOG frontal detector, boxes out."""

from dataclasses import dataclass

import dlib
import numpy as np
from numpy.typing import NDArray


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
    four times the time.
    """

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, grey: NDArray[np.uint8], upsample: int = 0) -> list[FaceBox]:
        """Find faces in a grey image `[height, width]`, surest first.

        Args:
            grey: Image, uint8.
            upsample: How many times to double the image first.
        """
        boxes, scores, _ = self._detector.run(grey, upsample, 0.0)
        found = [
            FaceBox(box.left(), box.top(), box.right(), box.bottom(), float(score))
            for box, score in zip(boxes, scores, strict=True)
        ]
        return sorted(found, key=lambda box: -box.score)


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
