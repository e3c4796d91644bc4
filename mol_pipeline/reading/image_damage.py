"""Whether an image file is whole, by what its own format says; decoders often keep silent.

A JPEG's codes are followed to their end, a PNG's sums compared, the sizes that a BMP, a TIFF,
a WebP or a PGM announces are looked for. What none of them knows is left to the decoder.
"""

import re
import struct
import zlib
from collections.abc import Iterator

from mol_pipeline.reading.jpeg_stream import jpeg_damage

PNG_START = b"\x89PNG\r\n\x1a\n"
TIFF_STARTS = {b"II": "<", b"MM": ">"}
OFFSETS, COUNTS = (273, 324), (279, 325)
"""TIFF's tags of where strips or tiles begin, and how long they are."""
DEPTH = 258
"""TIFF's tag of the bits of a pixel."""
SUBFILE, REDUCED = 254, 1
"""TIFF's tag of what a picture is, and its mark of a small copy of another."""
TIFF_TYPES = {1: "B", 3: "H", 4: "L", 16: "Q"}
MOST_PICTURES = 1000
"""Of a TIFF; a chain that is longer is a circle."""
CUT = "it ends before its picture does"


def image_damage(content: bytes) -> str | None:
    """What is wrong with an image file, in a few words; None if nothing is known to be."""
    if content[:2] == b"\xff\xd8":
        return jpeg_damage(content)
    if content.startswith(PNG_START):
        return _png_damage(content)
    if content[:2] == b"BM":
        return _bmp_damage(content)
    if content[:2] in TIFF_STARTS:
        return _tiff_damage(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return CUT if len(content) < 8 + int.from_bytes(content[4:8], "little") else None
    if content[:2] in {b"P5", b"P6"}:
        return _pnm_damage(content)
    return None


def _png_damage(content: bytes) -> str | None:
    at = len(PNG_START)
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        end = at + 8 + length
        name, stored = content[at + 4 : at + 8], content[end : end + 4]
        if len(stored) < 4:
            return CUT
        if zlib.crc32(content[at + 4 : end]).to_bytes(4, "big") != stored:
            return f"the check sum of its part {name.decode('latin-1')!r} is wrong"
        if name == b"IEND":
            return None
        at = end + 4
    return CUT


def _bmp_damage(content: bytes) -> str | None:
    if len(content) < 34:
        return CUT
    start, header = struct.unpack_from("<II", content, 10)
    if header < 40:
        return None
    width, height, _, bits, packing = struct.unpack_from("<iiHHI", content, 18)
    row = (abs(width) * bits + 31) // 32 * 4
    plain = packing in {0, 3}
    needed = start + row * abs(height) if plain else int.from_bytes(content[2:6], "little")
    return CUT if len(content) < needed else None


def _pnm_damage(content: bytes) -> str | None:
    try:
        width, height, white, start = _pnm_header(content)
    except ValueError:
        return "its header is damaged"
    channels = 3 if content[:2] == b"P6" else 1
    needed = width * height * channels * (2 if white > 255 else 1)
    return CUT if len(content) < start + needed else None


def _pnm_header(content: bytes) -> tuple[int, int, int, int]:
    """Width, height, value of white, and where the pixels begin.

    Raises:
        ValueError: If it is none.
    """
    header = re.match(rb"P[56]" + 3 * rb"(?:\s|#[^\n]*\n)+(\d+)" + rb"\s", content)
    if header is None:
        raise ValueError("no header")
    width, height, white = (int(word) for word in header.groups())
    return width, height, white, header.end()


def _tiff_damage(content: bytes) -> str | None:
    try:
        pictures = list(_tiff_pictures(content))
    except (struct.error, KeyError):
        return "its directory is damaged"
    for tags in pictures:
        for starts, lengths in zip(OFFSETS, COUNTS, strict=True):
            parts = zip(tags.get(starts, ()), tags.get(lengths, ()), strict=False)
            if any(start + length > len(content) for start, length in parts):
                return CUT
    return None


def tiff_pictures(content: bytes) -> int:
    """How many pictures a TIFF holds, small copies of them left out; 1 for other files."""
    if content[:2] not in TIFF_STARTS:
        return 1
    try:
        found = list(_tiff_pictures(content))
    except (struct.error, KeyError):
        return 1
    return sum(not (tags.get(SUBFILE, (0,)) or (0,))[0] & REDUCED for tags in found)


def image_bits(content: bytes) -> int:
    """Bits of a pixel of one colour as the header of a PNG, TIFF or PGM says; 8 of others."""
    try:
        if content.startswith(PNG_START):
            return max(8, content[24])
        if content[:2] in TIFF_STARTS:
            return max(8, *next(_tiff_pictures(content), {}).get(DEPTH, (8,)))
        if content[:2] in {b"P5", b"P6"}:
            return max(8, _pnm_header(content)[2].bit_length())
    except (struct.error, KeyError, IndexError, ValueError):
        pass  # read_image names what is wrong
    return 8


def _tiff_pictures(content: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """Tags of each picture, those that hold whole numbers.

    Raises:
        struct.error: If a directory lies outside the file.
    """
    order = TIFF_STARTS[content[:2]]
    (version,) = struct.unpack_from(f"{order}H", content, 2)
    big = version == 43
    entry, count_type, offset_type = (20, "Q", "Q") if big else (12, "H", "L")
    (at,) = struct.unpack_from(f"{order}{offset_type}", content, 8 if big else 4)
    for _ in range(MOST_PICTURES):
        if not at:
            return
        (entries,) = struct.unpack_from(f"{order}{count_type}", content, at)
        at += struct.calcsize(f"={count_type}")
        tags = {}
        for k in range(entries):
            place = at + k * entry
            tag, kind = struct.unpack_from(f"{order}HH", content, place)
            (count,) = struct.unpack_from(f"{order}{offset_type}", content, place + 4)
            wanted = {*OFFSETS, *COUNTS, SUBFILE, DEPTH}
            if tag not in wanted or kind not in TIFF_TYPES or count > len(content):
                continue
            form = f"{order}{count}{TIFF_TYPES[kind]}"
            value = place + 4 + struct.calcsize(f"={offset_type}")
            if struct.calcsize(form) > struct.calcsize(f"={offset_type}"):
                (value,) = struct.unpack_from(f"{order}{offset_type}", content, value)
            tags[tag] = struct.unpack_from(form, content, value)
        yield tags
        (at,) = struct.unpack_from(f"{order}{offset_type}", content, at + entries * entry)
