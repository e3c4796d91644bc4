"""Similarity alignment of a face to the 144x144 frame.

Source: MOL Sec. 4.1.3 names a similarity transformation from landmarks; the
geometry (eye line, box of five points, factor 2.5) is decision record 0001.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from mol_pipeline.contract.shard_layout import ALIGNED_PX
from mol_pipeline.kernels.geometry import (
    MOUTH_CORNERS,
    NOSE_TIP,
    apply_transform,
    eye_centres,
    invert_transform,
    similarity,
)

MARGIN = 2.5
"""Side of the square over the longer side of the five-point box."""
BORDER_GREY = 128
"""Value of pixels that lie outside the source image."""


@dataclass(frozen=True)
class AlignedFace:
    """One aligned frame."""

    image: UInt8[np.ndarray, "side side"]
    """`[144, 144]` grey."""
    transform: Float64[np.ndarray, "2 3"]
    """`[2, 3]`, source -> aligned."""
    landmarks: Float64[np.ndarray, "68 2"]
    """`[68, 2]` `(x, y)` in pixels of the aligned frame."""


def alignment_transform(landmarks: Float[np.ndarray, "68 2"]) -> Float64[np.ndarray, "2 3"]:
    """Transform that makes the eye line horizontal and the face fill the frame.

    The face is turned until the line through the two eye centres is horizontal. In
    the turned picture the upright box around eye centres, nose tip (30) and mouth
    corners (48, 54) is taken; a square of 2.5 times its longer side about its centre
    becomes the aligned frame.

    Args:
        landmarks: `[68, 2]` in the source image.

    Raises:
        ValueError: If the five points coincide (a broken detection).
    """
    left, right = eye_centres(landmarks)
    line = right - left
    angle = float(np.arctan2(line[1], line[0]))
    turn = similarity(angle=-angle, scale=1.0, centre=np.zeros(2), target=np.zeros(2))
    anchors = np.stack([left, right, landmarks[NOSE_TIP], *landmarks[list(MOUTH_CORNERS)]])
    upright = apply_transform(turn, anchors)
    low, high = upright.min(axis=0), upright.max(axis=0)
    half = MARGIN * float((high - low).max()) / 2
    if half < 1.0:
        raise ValueError(f"eyes, nose and mouth lie within {2 * half / MARGIN:.2f} px")
    scale = (ALIGNED_PX - 1) / 2 / half
    centre_in_source = apply_transform(invert_transform(turn), (low + high) / 2)
    middle = np.full(2, (ALIGNED_PX - 1) / 2)
    return similarity(angle=-angle, scale=scale, centre=centre_in_source, target=middle)


class FrameView:
    """A source frame, to be resampled into the aligned frame again and again.

    Where the face is larger than the frame, the part under it is smoothed first: plain bilinear
    sampling would skip pixels, and their noise would alias into the flow.

    Args:
        grey: Source image `[height, width]`.
        transform: Source -> aligned, roughly: how much is smoothed, and where.
        reach_px: How far from that, in aligned pixels, a later transform may lead.
    """

    def __init__(
        self,
        grey: UInt8[np.ndarray, "height width"],
        transform: Float64[np.ndarray, "2 3"],
        reach_px: float = 0.0,
    ) -> None:
        self._grey = grey
        self._corner = np.zeros(2)
        scale = float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))
        if scale < 1.0:
            # Gaussian of the pixel pitch: removes what the coarser grid cannot carry.
            sigma = 0.5 * np.sqrt(1.0 / scale**2 - 1.0)
            if sigma > 0.2:
                margin = int(4 * sigma) + 2 + int(np.ceil(reach_px / scale))
                region, self._corner = _region_under_frame(grey, transform, margin=margin)
                self._grey = cv2.GaussianBlur(
                    region, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE
                )

    def at(self, transform: Float64[np.ndarray, "2 3"]) -> Float32[np.ndarray, "144 144"]:
        """The frame under a transform, with fractions of grey levels; its rim goes on outside."""
        if self._grey.dtype != np.float32:
            self._grey = self._grey.astype(np.float32)
        return self._warped(transform, cv2.BORDER_REPLICATE)

    def picture(self, transform: Float64[np.ndarray, "2 3"]) -> UInt8[np.ndarray, "144 144"]:
        """The frame under a transform, as it is stored."""
        return self._warped(transform, cv2.BORDER_CONSTANT)

    def _warped(self, transform: Float64[np.ndarray, "2 3"], border: int) -> np.ndarray:
        shifted = transform.copy()
        shifted[:, 2] += transform[:, :2] @ self._corner
        return cv2.warpAffine(
            self._grey,
            shifted,
            (ALIGNED_PX, ALIGNED_PX),
            flags=cv2.INTER_LINEAR,
            borderMode=border,
            borderValue=BORDER_GREY,
        )


def warp_to_aligned(
    grey: UInt8[np.ndarray, "height width"], transform: Float64[np.ndarray, "2 3"]
) -> UInt8[np.ndarray, "144 144"]:
    """Resample a source image `[height, width]` into the `[144, 144]` frame."""
    return FrameView(grey, transform).picture(transform)


def _region_under_frame(
    grey: UInt8[np.ndarray, "height width"], transform: Float64[np.ndarray, "2 3"], *, margin: int
) -> tuple[UInt8[np.ndarray, "rows columns"], Float64[np.ndarray, " 2"]]:
    """Cut out the part of the source that the frame sees, and say where: the rest is waste."""
    last = ALIGNED_PX - 1
    corners = np.array([(0, 0), (last, 0), (0, last), (last, last)], dtype=np.float64)
    seen = apply_transform(invert_transform(transform), corners)
    height, width = grey.shape
    left, top = np.clip(np.floor(seen.min(axis=0)).astype(int) - margin, 0, (width - 1, height - 1))
    right, bottom = np.clip(np.ceil(seen.max(axis=0)).astype(int) + margin + 1, 1, (width, height))
    part = grey[top : max(bottom, top + 1), left : max(right, left + 1)]
    return part, np.array([left, top], dtype=np.float64)


def align_face(
    grey: UInt8[np.ndarray, "height width"],
    landmarks: Float[np.ndarray, "68 2"],
    transform: Float64[np.ndarray, "2 3"] | None = None,
) -> AlignedFace:
    """Align one frame.

    Args:
        grey: Source image `[height, width]`, uint8.
        landmarks: `[68, 2]` in that image.
        transform: Source -> aligned; from the frame's own landmarks if None.

    Raises:
        ValueError: If the landmarks give no transform.
    """
    if transform is None:
        transform = alignment_transform(landmarks)
    return AlignedFace(
        image=warp_to_aligned(grey, transform),
        transform=transform,
        landmarks=apply_transform(transform, landmarks),
    )
