"""The size of an image from its first bytes, so that no decoder makes room for a lie.

A PNG of a few kilobytes can say that it has 30,000 x 30,000 pixels, and a decoder then takes
gigabytes. The header is read here, for the formats that frames come in.
"""

import struct
from collections.abc import Iterator

MOST_PIXELS = 64_000_000
"""Of a frame: 8K film has 33 million, the largest cameras of this field 2 million. With three
channels this is 192 MB in a worker."""

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG after which the size stands."""
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


def check_image_size(content: bytes) -> None:
    """Refuse an image that is too large to decode, by what its header says.

    Raises:
        ValueError: If it says more than `MOST_PIXELS`. Content whose format is not known here
            passes: whether it is an image is for the decoder to say.
    """
    size = image_size(content)
    if size is not None:
        check_pixels(*size)


def check_pixels(width: int, height: int) -> None:
    """Refuse a picture that is too large to decode.

    Raises:
        ValueError: If it has more than `MOST_PIXELS`.
    """
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"says that it has {width} x {height} pixels, at most {MOST_PIXELS:,} are read; "
            "make it smaller"
        )


def image_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, JPEG, BMP or TIFF; None if it is none or breaks off."""
    try:
        if content[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack(">II", content[16:24])
        if content[:2] == b"\xff\xd8":
            return _of_jpeg(content)
        if content[:2] == b"BM":
            if struct.unpack("<I", content[14:18])[0] == 12:  # the header of OS/2
                return struct.unpack("<HH", content[18:22])
            width, height = struct.unpack("<ii", content[18:26])
            return abs(width), abs(height)
        if content[:4] in {b"II*\0", b"MM\0*"}:
            return _of_tiff(content)
    except (struct.error, IndexError):
        pass
    return None


def _of_jpeg(content: bytes) -> tuple[int, int] | None:
    """The largest that is said: a file may hold several, and decoders differ in which they take."""
    return max(_jpeg_sizes(content), key=lambda size: size[0] * size[1], default=None)


def _jpeg_sizes(content: bytes) -> Iterator[tuple[int, int]]:
    place = 2
    while (place := content.find(b"\xff", place)) >= 0 and place + 9 <= len(content):
        marker = content[place + 1]
        if marker == 0xFF or marker == 0 or marker in _JPEG_ALONE:
            place += 1
            continue
        if marker in _JPEG_SIZES:
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            yield width, height
        if marker == 0xDA:  # the picture itself begins
            return
        place += 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]


def _of_tiff(content: bytes) -> tuple[int, int] | None:
    order = "<" if content[:2] == b"II" else ">"
    (place,) = struct.unpack(f"{order}I", content[4:8])
    (count,) = struct.unpack(f"{order}H", content[place : place + 2])
    found: dict[int, int] = {}
    for entry in range(min(count, 1000)):
        start = place + 2 + 12 * entry
        tag, kind = struct.unpack(f"{order}HH", content[start : start + 4])
        if tag in {_TIFF_WIDTH, _TIFF_HEIGHT}:
            form, size = ("H", 2) if kind == 3 else ("I", 4)
            (found[tag],) = struct.unpack(f"{order}{form}", content[start + 8 : start + 8 + size])
    if _TIFF_WIDTH in found and _TIFF_HEIGHT in found:
        return found[_TIFF_WIDTH], found[_TIFF_HEIGHT]
    return None
