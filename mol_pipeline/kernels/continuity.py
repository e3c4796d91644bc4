"""Whether a picture goes on from the one before it."""

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy.typing import NDArray

THUMBNAIL_PX = 32
FACE_PX = 36
FACE_RIM_PX = 5

LEAST_LIKENESS = 0.7
"""Correlation of two thumbnails below which a picture may be another scene."""
LEAST_CHANGE = 4.0
"""Mean change of a thumbnail's pixels, in grey levels, that is none of noise."""
SUDDEN = 4.0
"""A jump changes the picture so many times more than any step before it."""
STEPS = 3
"""Steps that must be known before one can be called sudden: a camera in a hand moves always."""


class PictureJumps:
    """Watches the frames of one video for a jump of the whole picture."""

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._steps = 0
        self._largest = 0.0

    def at(self, grey: NDArray[np.uint8]) -> bool:
        """Whether the next frame `[height, width]` is another scene than the one before."""
        size = (THUMBNAIL_PX, THUMBNAIL_PX)
        now = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._before = self._before, now
        if before is None:
            return False
        change = float(np.abs(now - before).mean())
        is_sudden = self._steps >= STEPS and change > SUDDEN * max(self._largest, LEAST_CHANGE / 2)
        self._steps += 1
        self._largest = max(self._largest, change)
        return is_sudden and likeness(now, before) < LEAST_LIKENESS


def likeness(
    one: Float[np.ndarray, "height width"], other: Float[np.ndarray, "height width"]
) -> float:
    """Correlation of two pictures of one size: 1 for the same under another light."""
    first, second = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((first**2).mean() * (second**2).mean()))
    return float((first * second).mean()) / scale if scale > 0 else 1.0


def face_thumbnail(aligned: UInt8[np.ndarray, "144 144"]) -> Float32[np.ndarray, "side side"]:
    """The inner face of an aligned frame, small enough that a moving mouth counts little."""
    small = cv2.resize(aligned, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
    inner = slice(FACE_RIM_PX, FACE_PX - FACE_RIM_PX)
    return small[inner, inner].astype(np.float32)
