"""Whether the compressed data of a JPEG is whole: every code is read, no pixel is made.

Decoders mend what is damaged and say so on the terminal at best, and one version of OpenCV
does not what another does. A picture whose codes cannot be read, whose data goes on after
the last of its blocks or ends before it, or whose blocks are brighter than white, is not what
the camera wrote. A changed byte that leaves a stream which can be read (a somewhat wrong
brightness, say) is beyond this check.

libjpeg-turbo is asked first (`jpeg_means`), which is some thirty times faster: where it warns of
nothing, and no block can be beyond black or white, the picture is whole. Codes are followed here
where it warns, and for the words that say why.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mol_pipeline.reading.jpeg_means import largest_mean, warning_of_libjpeg

SOI, EOI, SOS, DHT, DRI, DQT = 0xD8, 0xD9, 0xDA, 0xC4, 0xDD, 0xDB
SEQUENTIAL = frozenset({0xC0, 0xC1})
"""Huffman, one pass: what cameras write. Others are read by their markers only."""
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, 0xCC}
FIRST_RESTART, LAST_RESTART = 0xD0, 0xD7
BLOCK = 64
"""Coefficients of a block."""
END, NO_CODE = 128, 255
"""Added to the place in a block by the code that ends it, and by what is no code."""
LONGEST_CODE = 16
CORRUPT = ("Corrupt JPEG data", "Premature end")
"""How libjpeg begins to tell of damage; it warns of harmless oddities too."""
BROKEN = "its data holds what is no code"
SHORT = "its data ends before its last block"


@dataclass(frozen=True)
class _Component:
    """One colour of the picture: its blocks in a unit, and the picture's blocks alone."""

    across: int
    down: int
    blocks: int
    """Of a scan that holds nothing else."""
    quantiser: int
    """Number of its table of steps."""


_Codes = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""`[n]` bits of the code and its value, and `[n]` the places in the block that it advances
(of a DC code the bits of its value)."""


@dataclass
class _Picture:
    """What the headers say."""

    sequential: bool = True
    components: dict[int, _Component] = field(default_factory=dict)
    units: int = 0
    """Of a scan that holds all components."""
    restart: int = 0
    tables: dict[int, "_Codes"] = field(default_factory=dict)
    """By class (0 DC, 16 AC) and number, for all that 16 bits can be."""
    steps: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    """`[64]` by number: what one unit of a coefficient is worth."""


def jpeg_damage(content: bytes) -> str | None:
    """What is wrong with a JPEG, in a few words; None if its data can be read to the end.

    Args:
        content: From its first marker on.
    """
    warning = warning_of_libjpeg(content)
    if warning is None:
        return None
    picture = _Picture()
    damage = _followed(content, picture)
    if damage is None and not picture.sequential and warning.startswith(CORRUPT):
        return f"its data is damaged ({warning})"
    return damage


def _followed(content: bytes, picture: _Picture) -> str | None:
    """What is wrong with a JPEG as its headers and codes say, which go into `picture`."""
    scans = 0
    at = 2
    try:
        while True:
            marker, at = _marker(content, at)
            if marker == EOI:
                return None if scans else "it holds no picture"
            length = int.from_bytes(content[at : at + 2], "big")
            body = content[at + 2 : at + length]
            if length < 2 or len(body) != length - 2:
                return "it ends inside a header"
            at += length
            if marker == SOS:
                end = _end_of_scan(content, at)
                damage = _scan_damage(picture, body, content[at:end])
                if damage:
                    return damage
                scans, at = scans + 1, end
            else:
                _take_header(picture, marker, body)
    except (IndexError, KeyError, ValueError, ZeroDivisionError):
        return "its headers contradict each other"
    except EOFError:
        return "it ends before its last marker"


def _marker(content: bytes, at: int) -> tuple[int, int]:
    """The marker at a place, fill bytes skipped, and the place after it.

    Raises:
        EOFError: If the content ends.
        ValueError: If there is none.
    """
    if at + 2 > len(content):
        raise EOFError
    if content[at] != 0xFF:
        raise ValueError("no marker")
    while content[at] == 0xFF:
        at += 1
        if at >= len(content):
            raise EOFError
    return content[at], at + 1


def _end_of_scan(content: bytes, at: int) -> int:
    """Place of the marker that ends the compressed data.

    Raises:
        EOFError: If there is none.
    """
    while True:
        at = content.find(b"\xff", at)
        if at < 0 or at + 1 >= len(content):
            raise EOFError
        following = content[at + 1]
        if following == 0xFF:
            at += 1
        elif following == 0 or FIRST_RESTART <= following <= LAST_RESTART:
            at += 2
        else:
            return at


def _take_header(picture: _Picture, marker: int, body: bytes) -> None:
    if marker in FRAMES:
        picture.sequential = marker in SEQUENTIAL
        height, width = (int.from_bytes(body[i : i + 2], "big") for i in (1, 3))
        sizes = {
            body[i]: (*divmod(body[i + 1], 16), body[i + 2]) for i in range(6, 6 + 3 * body[5], 3)
        }
        most_across = max(across for across, _, _ in sizes.values())
        most_down = max(down for _, down, _ in sizes.values())
        for name, (across, down, quantiser) in sizes.items():
            columns = math.ceil(math.ceil(width * across / most_across) / 8)
            rows = math.ceil(math.ceil(height * down / most_down) / 8)
            picture.components[name] = _Component(across, down, columns * rows, quantiser)
        picture.units = math.ceil(width / (8 * most_across)) * math.ceil(height / (8 * most_down))
    elif marker == DHT:
        while body:
            counts = list(body[1 : 1 + LONGEST_CODE])
            symbols = body[1 + LONGEST_CODE : 1 + LONGEST_CODE + sum(counts)]
            picture.tables[body[0]] = _table(counts, symbols, is_ac=body[0] >= 16)
            body = body[1 + LONGEST_CODE + sum(counts) :]
    elif marker == DQT:
        while body:
            size = 1 + body[0] // 16
            values = np.frombuffer(body[1 : 1 + BLOCK * size], dtype=f">u{size}")
            picture.steps[body[0] % 16] = values.astype(np.int64)
            body = body[1 + BLOCK * size :]
    elif marker == DRI:
        picture.restart = int.from_bytes(body[:2], "big")


def _table(counts: Sequence[int], symbols: bytes, *, is_ac: bool) -> _Codes:
    """The codes of one table.

    Raises:
        IndexError: If there are more codes than symbols.
    """
    bits = np.ones(1 << LONGEST_CODE, dtype=np.uint8)
    places = np.full(1 << LONGEST_CODE, NO_CODE, dtype=np.uint8)
    code = taken = 0
    for length, count in enumerate(counts, start=1):
        for _ in range(count):
            symbol = symbols[taken]
            run, size = divmod(symbol, 16) if is_ac else (0, symbol)
            if size <= LONGEST_CODE and (size or run in {0, 15}):
                low = code << (LONGEST_CODE - length)
                high = (code + 1) << (LONGEST_CODE - length)
                bits[low:high] = length + size
                places[low:high] = size if not is_ac else run + 1 if size or run else END
            code, taken = code + 1, taken + 1
        code <<= 1
    return bits, places


def _scan_damage(picture: _Picture, header: bytes, data: bytes) -> str | None:
    """What is wrong with the compressed data of one scan."""
    names = {header[i]: divmod(header[i + 1], 16) for i in range(1, 1 + 2 * header[0], 2)}
    parts = _intervals(data)
    if parts is None:
        return "its restart markers are out of order"
    tables = {16 * is_ac + pair[is_ac] for pair in names.values() for is_ac in (0, 1)}
    if not picture.sequential or not tables <= set(picture.tables):
        return None  # several passes, or tables that are agreed on elsewhere: not followed
    alone = len(names) == 1
    unit: list[_Block] = []
    units = picture.units
    for name, (dc, ac) in names.items():
        component = picture.components[name]
        block = _Block(name, dc, 16 + ac, int(picture.steps[component.quantiser][0]))
        unit += [block] * (1 if alone else component.across * component.down)
        units = component.blocks if alone else units
    for number, part in enumerate(parts):
        expected = units
        if picture.restart:
            expected = min(picture.restart, units - number * picture.restart)
        if expected <= 0:
            return "it holds more than its size"
        damage = _part_damage(part, unit, expected, picture.tables)
        if damage:
            return damage
    if picture.restart and len(parts) * picture.restart < units:
        return "a part of it is missing"
    return None


@dataclass(frozen=True)
class _Block:
    """How one block is coded."""

    component: int
    dc: int
    ac: int
    step: int
    """What one unit of its mean is worth."""


def _intervals(data: bytes) -> list[bytes] | None:
    """The data between restart markers, unstuffed; None if they are not in order."""
    parts: list[bytes] = []
    start = at = 0
    while (at := data.find(b"\xff", at)) >= 0:
        following = data[at + 1] if at + 1 < len(data) else 0
        if FIRST_RESTART <= following <= LAST_RESTART:
            if following != FIRST_RESTART + len(parts) % 8:
                return None
            parts.append(data[start:at])
            start = at + 2
        at += 1 if following == 0xFF else 2
    return [part.replace(b"\xff\x00", b"\xff") for part in (*parts, data[start:])]


def _part_damage(
    data: bytes, unit: Sequence[_Block], units: int, tables: dict[int, _Codes]
) -> str | None:
    """Follow the codes of all blocks from bit to bit."""
    codes = dict(_codes(data, {number for one in unit for number in (one.dc, one.ac)}, tables))
    steps = [(one, *codes[one.dc], *codes[one.ac]) for one in unit]
    means = dict.fromkeys((block.component for block in unit), 0)
    bits, at = 8 * len(data), 0
    # This loop runs once for every code of the picture: nothing in it that is not needed.
    for block, dc_bits, dc_size, ac_bits, ac_places in itertools.chain.from_iterable(
        itertools.repeat(steps, units)
    ):
        size = dc_size[at]
        if size == NO_CODE:
            return SHORT if at >= bits else BROKEN
        at += dc_bits[at]
        if size:
            means[block.component] += _value(data, at, size)
            if abs(means[block.component]) * block.step > largest_mean(block.step):
                return "a block of it is brighter than white or darker than black"
        place = 1
        while place < BLOCK:
            place += ac_places[at]
            at += ac_bits[at]
        if place >= NO_CODE:
            return SHORT if at > bits else BROKEN
        if BLOCK < place < END:
            return "a block of it is too long"
    if at > bits:
        return SHORT
    return "its data goes on after its last block" if bits - at >= 8 else None


def _value(data: bytes, end: int, size: int) -> int:
    """The signed number in the bits before `end`."""
    if not size:
        return 0
    first, last = (end - size) // 8, -(-end // 8)
    number = int.from_bytes(data[first:last], "big") >> (8 * last - end)
    number &= (1 << size) - 1
    return number if number >> (size - 1) else number - (1 << size) + 1


def _codes(
    data: bytes, wanted: set[int], tables: dict[int, _Codes]
) -> Iterator[tuple[int, tuple[bytes, bytes]]]:
    """For each table what it says at every bit of the data, and past its end that there is none."""
    padded = np.frombuffer(data + b"\xff\xff\xff", dtype=np.uint8).astype(np.uint32)
    words = (padded[:-2] << 16) | (padded[1:-1] << 8) | padded[2:]
    shifts = np.arange(8, 0, -1, dtype=np.uint32)
    windows = ((words[:-1, None] >> shifts) & 0xFFFF).astype(np.uint16).ravel()
    past = b"\x01" * 64, bytes([NO_CODE]) * 64
    for number in wanted:
        bits, places = (table[windows].tobytes() for table in tables[number])
        yield number, (bits + past[0], places + past[1])
