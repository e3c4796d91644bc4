"""Estimates drawn on the source frames, for a film: box, landmarks, flow arrows, class.

Dlib's landmarks are cyan, the network's red, as in every figure of the project; arrows
have the colour of their direction on the wheel.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.flow_colour import flow_to_rgb
from mol_pipeline.kernels.detection import FaceBox
from mol_pipeline.reading.frames import Colour

SMALLEST_PX, LARGEST_PX = 720, 1280
"""The longer side of a picture is brought between them, so that marks can be read."""
LARGEST_MAGNIFICATION = 20
CYAN, RED, GREEN, GREY, WHITE, STRIP = (
    (255, 229, 0),
    (82, 82, 255),
    (80, 200, 80),
    (160, 160, 160),
    (255, 255, 255),
    (40, 40, 40),
)
"""Blue, green, red."""


@dataclass
class FrameMarks:
    """What is drawn on one frame, in its pixels."""

    dlib: NDArray[np.float64] | None = None
    """`[68, 2]`"""
    landmarks: NDArray[np.float64] | None = None
    """`[68, 2]`, the network's."""
    arrow_starts: NDArray[np.float64] | None = None
    """`[G, 2]`"""
    arrows: NDArray[np.float64] | None = None
    """`[G, 2]`"""
    others: tuple[FaceBox, ...] = ()
    """People who are not followed, where the detector last saw any."""
    captions: list[str] = field(default_factory=list)
    """Lines below the picture."""

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """Left, top, right, bottom around Dlib's landmarks and a margin."""
        if self.dlib is None:
            return None
        low, high = self.dlib.min(axis=0), self.dlib.max(axis=0)
        margin = 0.12 * float(high[0] - low[0])
        return (low[0] - margin, low[1] - 2 * margin, high[0] + margin, high[1] + margin)

    def inner_arrows(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Arrows inside the box: background says nothing about a face."""
        if self.arrows is None or self.arrow_starts is None or self.box is None:
            return np.zeros((0, 2)), np.zeros((0, 2))
        left, top, right, bottom = self.box
        x, y = self.arrow_starts.T
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        return self.arrow_starts[inside], self.arrows[inside]


def arrow_scale(marks: Iterable[FrameMarks]) -> tuple[int, float]:
    """Magnification of the arrows of a video, and the length that is fully coloured.

    Motion of a micro-expression is a pixel or less; the longest arrows are brought to about
    the distance between them.
    """
    lengths, spacing = [], []
    for mark in marks:
        starts, arrows = mark.inner_arrows()
        if len(starts) > 1:
            lengths.append(np.linalg.norm(arrows, axis=1))
            spacing.append(np.linalg.norm(starts[1] - starts[0]))
    if not lengths:
        return 1, 1.0
    peak = max(float(np.percentile(np.concatenate(lengths), 99)), 1e-3)
    wanted = int(1.5 * float(np.median(spacing)) / peak)
    return min(max(wanted, 1), LARGEST_MAGNIFICATION), peak


def draw_marks(picture: Colour, marks: FrameMarks, magnification: int, peak: float) -> Colour:
    """Draw the marks of a frame on a copy of it, resized to be read, with a strip below.

    Args:
        picture: The source frame `[height, width, 3]`.
        marks: In its pixels.
        magnification: Of the arrows, from `arrow_scale`.
        peak: Length of a fully coloured arrow, source pixels.
    """
    height, width = picture.shape[:2]
    scale = float(np.clip(max(height, width), SMALLEST_PX, LARGEST_PX)) / max(height, width)
    # H.264 with half the colour pixels takes even sides only.
    size = (2 * max(round(width * scale / 2), 1), 2 * max(round(height * scale / 2), 1))
    enlarging = scale > 1
    canvas = cv2.resize(
        picture, size, interpolation=cv2.INTER_CUBIC if enlarging else cv2.INTER_AREA
    )

    def place(point: NDArray[np.floating]) -> tuple[int, int]:
        # Pixel centres are at integers: (p + 0.5) scales, not p.
        x, y = (np.asarray(point, dtype=np.float64) + 0.5) * scale - 0.5
        return round(float(x)), round(float(y))

    for other in marks.others:
        corners = np.array([(other.left, other.top), (other.right, other.bottom)])
        cv2.rectangle(canvas, place(corners[0]), place(corners[1]), GREY, 2, cv2.LINE_AA)
        at = place(corners[0] - (0, 6 / scale))
        for colour, thickness in ((STRIP, 3), (WHITE, 1)):  # an outline: light or dark behind it
            cv2.putText(canvas, "not followed", at, FONT, 0.5, colour, thickness, cv2.LINE_AA)
    if marks.box is not None:
        left, top, right, bottom = marks.box
        first, last = place(np.array([left, top])), place(np.array([right, bottom]))
        cv2.rectangle(canvas, first, last, GREEN, 2, cv2.LINE_AA)
    starts, arrows = marks.inner_arrows()
    if len(starts):
        colours = flow_to_rgb(arrows.T[:, None], peak)[0, :, ::-1].tolist()
        for start, arrow, colour in zip(starts, arrows, colours, strict=True):
            tip = start + magnification * arrow
            cv2.arrowedLine(canvas, place(start), place(tip), colour, 1, cv2.LINE_AA, tipLength=0.3)
    radius = 2 if marks.box is not None and (marks.box[2] - marks.box[0]) * scale > 200 else 1
    for points, colour in ((marks.dlib, CYAN), (marks.landmarks, RED)):
        for point in points if points is not None else ():
            cv2.circle(canvas, place(point), radius, colour, -1, cv2.LINE_AA)
    return np.vstack([canvas, _strip(marks.captions, size[0])])


FONT = cv2.FONT_HERSHEY_SIMPLEX


def _strip(lines: list[str], width: int) -> Colour:
    """Lines of text on a dark strip; its height depends on their number only."""
    strip = np.full((2 * (8 + 11 * len(lines)), width, 3), STRIP, dtype=np.uint8)
    for k, line in enumerate(lines):
        (needed, _), _ = cv2.getTextSize(line, FONT, 0.5, 1)
        size = 0.5 * min(1.0, (width - 16) / max(needed, 1))
        cv2.putText(strip, line, (8, 22 * (k + 1)), FONT, size, WHITE, 1, cv2.LINE_AA)
    return strip
