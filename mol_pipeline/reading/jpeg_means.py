"""What libjpeg-turbo says of a JPEG's data, asked for no more than one pixel a block.

It warns of damage, and of the means of blocks it shows those beyond black or white, which no camera
writes: they are cut off there, so at least one of red, green and blue is at its end. Many pictures
are black or white somewhere and whole. They are made once more, darker and paler: the first
coefficient of each block counts for less, by a change of one number in each of its tables, so
that a mean which is cut off no longer shows how far it is.
"""

import numpy as np
import simplejpeg
from numpy.typing import NDArray

SOS, DQT = 0xDA, 0xDB
BLOCK_PX, BRIGHTEST, GREY = 8, 255, 128
"""Side of a block, the largest value of a pixel, and where a mean of zero is."""
WHITE = 1024
"""A block's largest coefficient: eight times the distance from mid grey."""
LEVEL = 8
"""One grey level, as a coefficient counts it."""
SATURATED = "a block is as dark or bright as can be shown"
STEPS = 64
"""Numbers of a table."""


def largest_mean(step: int) -> int:
    """The largest coefficient times its step that counts as whole: rounded, and off by a level."""
    return WHITE + step + LEVEL


def warning_of_libjpeg(content: bytes) -> str | None:
    """What libjpeg says of the data; None if that is nothing and no block is beyond white."""
    try:
        colours = "GRAY" if _is_grey(content) else "RGB"
        means = _means(content, colours)
        if means.min() > 0 and means.max() < BRIGHTEST:
            return None
        return None if _is_bounded(content, colours) else SATURATED
    except (ValueError, MemoryError) as error:
        return str(error)


def _means(content: bytes, colours: str) -> NDArray[np.int16]:
    """One pixel a block, `[down, across, colours]`."""
    pixels = simplejpeg.decode_jpeg(
        content, colours, min_height=1, min_width=1, min_factor=BLOCK_PX, strict=True
    )
    return np.asarray(pixels, dtype=np.int16)


def _is_grey(content: bytes) -> bool:
    return str(simplejpeg.decode_jpeg_header(content)[2]).upper() == "GRAY"


def _is_bounded(content: bytes, colours: str) -> bool:
    """Whether every mean is surely no more than black or white; False is no proof that one is."""
    places = _first_steps(content)
    steps = [content[place] for place in places]
    if not steps or min(steps) < 2:
        return False
    # Brightness: as little darker as can be, so that a mean is known to half a level.
    seen = int(np.abs(_means(_with(content, places, 1), "GRAY") - GREY).max())
    if seen >= GREY - 1 or any(
        (LEVEL * seen + LEVEL / 2) * step / (step - 1) > largest_mean(step) for step in steps
    ):
        return False
    if colours == "GRAY":
        return True
    # Colours: so pale that none is cut off, and known to two levels.
    pale = _means(_with(content, places, 4), "RGB")
    if pale.min() == 0 or pale.max() == BRIGHTEST:
        return False
    red, green, blue = np.moveaxis(pale.astype(np.float64), -1, 0)
    brightness = 0.299 * red + 0.587 * green + 0.114 * blue
    away = max(np.abs(blue - brightness).max() / 1.772, np.abs(red - brightness).max() / 1.402)
    return all(LEVEL * (away + 2) * step / _paler(step, 4) <= largest_mean(step) for step in steps)


def _paler(step: int, share: int) -> int:
    """A smaller step: one less, or a share of it."""
    return step - 1 if share == 1 else max(1, step // share)


def _with(content: bytes, places: list[int], share: int) -> bytes:
    """The picture with smaller steps at those places."""
    changed = bytearray(content)
    for place in places:
        changed[place] = _paler(content[place], share)
    return bytes(changed)


def _first_steps(content: bytes) -> list[int]:
    """Where the step of the first coefficient lies in each table; empty if one has wide numbers."""
    places = []
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != SOS:
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if content[at + 1] == DQT:
            for table in range(at + 4, end, 1 + STEPS):
                if content[table] >= 16 or table + STEPS >= end:
                    return []
                places.append(table + 1)
        at = end
    return places
