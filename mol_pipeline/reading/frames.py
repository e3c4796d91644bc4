"""Images of a folder: read as grey or in colour, checked for damage, brought to 8 bits.

A file that its own format shows to be damaged is read all the same, and what is wrong with it
is told: whether it rejects its clip is for a setting to say.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.documents import read_ordinary
from mol_pipeline.contract.image_header import check_image_size
from mol_pipeline.reading.films import read_video_frames, read_video_pictures
from mol_pipeline.reading.image_damage import image_bits, image_damage, tiff_pictures
from mol_pipeline.reading.pictures import (
    Colour,
    Grey,
    bits_used,
    checked_aspect,
    grey_of_bits,
    in_square_pixels,
)

__all__ = [
    "Colour",
    "Grey",
    "read_colour",
    "read_grey",
    "read_image",
    "read_video_frames",
    "read_video_pictures",
]

MOST_IMAGE_BYTES = 512 << 20
"""Of an image file: 64 million pixels of three colours and 16 bits have 384 MB."""
DEEP = np.dtype(np.uint16)
HEADER_BYTES = 65536
JFIF_DENSITY = struct.Struct(">BHH")


@dataclass(frozen=True)
class Image:
    """One image file."""

    values: NDArray[Any]
    """`[height, width]` or `[height, width, 3]`, as stored."""
    damage: str | None
    """What is wrong with the file, in a few words."""
    aspect: Fraction
    """Width of a pixel by its height."""

    @property
    def is_deep(self) -> bool:
        """Whether its pixels have 16 bits."""
        return self.values.dtype == DEEP

    @property
    def used(self) -> int:
        """Bitwise or of its pixels if they have 16 bits, else 0."""
        return int(np.bitwise_or.reduce(self.values, axis=None)) if self.is_deep else 0

    def picture(self, bits: int | None = None) -> NDArray[np.uint8]:
        """8 bits and square pixels.

        Args:
            bits: In use, of a 16-bit image: those of its video, if it belongs to one.
        """
        if self.is_deep:
            eight = grey_of_bits(self.values, bits or bits_used(self.used))
        else:
            eight = self.values.astype(np.uint8, copy=False)
        return in_square_pixels(eight, self.aspect)


def read_image(path: Path, *, colour: bool = False) -> Image:
    """Read an image file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no image, or several, or too large, or its pixels are no whole numbers.
    """
    content = read_ordinary(path, MOST_IMAGE_BYTES)
    check_image_size(content)
    flags = cv2.IMREAD_ANYDEPTH | (cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)
    values = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), flags) if content else None
    damage = image_damage(content)
    if values is None:
        raise ValueError("is not an image; replace the file" if not damage else _broken(damage))
    if values.dtype not in (np.uint8, DEEP):
        raise ValueError(f"holds pixels of type {values.dtype}; save it with 8 or 16 bits")
    count = tiff_pictures(content)
    if count > 1:
        raise ValueError(f"holds {count} pictures; save each as a file of its own")
    return Image(values, damage, checked_aspect(_aspect(content)))


def image_remarks(path: Path) -> tuple[str, ...]:
    """What the header of an image says will be done to it; nothing is decoded.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(HEADER_BYTES)
    remarks = []
    bits = image_bits(content)
    if bits > 8:
        remarks.append(f"images of {bits} bits: brought to 8 by the bits that the video uses")
    aspect = _aspect(content)
    if aspect != 1:
        words = f"{aspect.numerator}:{aspect.denominator}"
        remarks.append(f"images say that their pixels have the aspect {words}: made square")
    return tuple(remarks)


def _broken(damage: str) -> str:
    return f"is damaged ({damage}); replace the file"


def read_grey(path: Path) -> Grey:
    """Read an image file that is whole as grey `[height, width]`.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no image, or damaged.
    """
    return _whole(read_image(path))


def read_colour(path: Path) -> Colour:
    """Read an image file that is whole in colour; errors as `read_grey`."""
    return _whole(read_image(path, colour=True))


def _whole(image: Image) -> NDArray[np.uint8]:
    if image.damage:
        raise ValueError(_broken(image.damage))
    return image.picture()


def _aspect(content: bytes) -> Fraction:
    """Width of a pixel by its height, where a JPEG or a PNG says so; else 1."""
    aspect = Fraction(1)
    if content[:2] == b"\xff\xd8" and content[6:11] == b"JFIF\0":
        unit, across, down = JFIF_DENSITY.unpack_from(content, 13)
        # Without a unit the two are the aspect itself, else pixels an inch or a centimetre.
        if across and down:
            aspect = Fraction(across, down) if unit == 0 else Fraction(down, across)
    place = content.find(b"pHYs", 8, 200) if content[1:4] == b"PNG" else -1
    if place > 0:
        across, down = struct.unpack_from(">II", content, place + 4)
        if across and down:
            aspect = Fraction(down, across)
    return aspect
