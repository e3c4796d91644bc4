"""Pictures in memory: 8 of more bits, and square pixels."""

from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Colour = NDArray[np.uint8]
"""`[height, width, 3]`, blue, green, red: OpenCV's order."""

DEPTHS = (8, 10, 12, 14, 16)
"""Bits of cameras' pixels."""
NARROWEST = Fraction(1, 4)
"""Pixels that are narrower, or wider than its inverse, are a slip of the header."""


def bits_used(values: int) -> int:
    """Depth of pixels whose bits, taken together, are these: the next of `DEPTHS`.

    Pixels that are stored in the upper bits use them all: 16.

    Args:
        values: Bitwise or over all pixels of a video.
    """
    return next(depth for depth in DEPTHS if values.bit_length() <= depth)


def grey_of_bits(grey: NDArray[np.uint16], bits: int) -> Grey:
    """The upper 8 of the bits in use.

    Args:
        grey: `[height, width]`.
        bits: From `bits_used`.
    """
    return (np.minimum(grey, (1 << bits) - 1) >> (bits - 8)).astype(np.uint8)


def in_square_pixels(picture: NDArray[np.uint8], aspect: Fraction) -> NDArray[np.uint8]:
    """A picture whose pixels are as wide as high: its shorter sides are enlarged.

    Args:
        picture: `[height, width]` or `[height, width, 3]`.
        aspect: Width of a pixel by its height.
    """
    height, width = picture.shape[:2]
    size = (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))
    if size == (width, height):
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)


def checked_aspect(aspect: Fraction) -> Fraction:
    """Width of a pixel by its height; 1 where the file does not say.

    Raises:
        ValueError: If it cannot be meant.
    """
    if aspect <= 0:
        return Fraction(1)
    if not NARROWEST <= aspect <= 1 / NARROWEST:
        words = f"{aspect.numerator}:{aspect.denominator}"
        raise ValueError(f"says that its pixels have the aspect {words}; correct its header")
    return aspect.limit_denominator(1000)
