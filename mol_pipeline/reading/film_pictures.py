"""One decoded frame as it is to be seen: upright, with square pixels, 8 bits, full range."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.reading.pictures import grey_of_bits, in_square_pixels

if TYPE_CHECKING:
    import av

LIMITED = 1
"""FFmpeg's number of the range from 16 to 235."""


def upright_picture(
    frame: "av.VideoFrame", aspect: Fraction, bits: int | None, *, grey: bool
) -> NDArray[np.uint8]:
    """One frame, upright, with square pixels, grey or blue, green, red."""
    picture: Any
    if bits is not None:
        deep: Any = frame.to_ndarray(format="gray16le")
        picture = grey_of_bits(deep, bits)
    else:
        picture = frame.to_ndarray(format="bgr24")
        if _is_limited_grey(frame):
            picture = cv2.convertScaleAbs(picture.clip(16, 235) - 16, alpha=255 / 219)
    picture = _upright(in_square_pixels(picture, aspect), frame)
    if grey and picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return picture


def frame_bits(frame: "av.VideoFrame") -> int:
    """Bits of a pixel of one colour."""
    return max(part.bits for part in frame.format.components)


def _is_limited_grey(frame: "av.VideoFrame") -> bool:
    """Whether white is 235: FFmpeg itself stretches colour only."""
    return frame.format.name.startswith("gray") and frame.color_range == LIMITED


def _matrix(frame: "av.VideoFrame") -> NDArray[np.int64] | None:
    """How the picture is to be shown: `x' = a x + c y`, `y' = b x + d y` as `[[a, b], [c, d]]`."""
    from av.sidedata.sidedata import Type

    side_data: Any = frame.side_data
    data = side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return None
    whole = np.frombuffer(bytes(data), dtype="<i4").reshape(3, 3)[:2, :2]
    return np.sign(np.where(np.abs(whole) < 2**8, 0, whole)).astype(np.int64)


def _upright(picture: NDArray[np.uint8], frame: "av.VideoFrame") -> NDArray[np.uint8]:
    """Turned and mirrored as the film says."""
    matrix = _matrix(frame)
    if matrix is None:
        return np.ascontiguousarray(np.rot90(picture, frame.rotation // 90))
    (a, b), (c, d) = matrix
    if a and d and not b and not c:
        across, down = a, d
    elif b and c and not a and not d:
        picture, across, down = np.swapaxes(picture, 0, 1), c, b
    else:
        return picture  # turned by less than a quarter: said, not followed
    return np.ascontiguousarray(picture[::down, ::across])


def film_remarks(frame: "av.VideoFrame", aspect: Fraction) -> Iterator[str]:
    """What the first frame says about the film."""
    bits = frame_bits(frame)
    if aspect != 1:
        yield f"pixels of aspect {aspect.numerator}:{aspect.denominator} made square"
    matrix = _matrix(frame)
    if matrix is not None and np.count_nonzero(matrix) != 2:
        yield "its turn by less than a quarter is not followed"
    elif matrix is not None and np.linalg.det(matrix) < 0:
        yield "mirrored, as it says"
    elif frame.rotation % 360:
        yield f"turned by {frame.rotation % 360} degrees, as it says"
    if _is_limited_grey(frame):
        yield "grey of limited range stretched to the full one"
    if bits > 8:
        words = "by the bits in use" if bits >= 16 else "by its range"
        yield f"{bits} bits brought to 8 {words}"
    if frame.interlaced_frame:
        yield "interlaced: each frame holds two moments, which are not separated"
