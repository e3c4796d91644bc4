"""Whether the compressed data of a JPEG is whole: every code is read, no pixel is made.

Decoders mend what is damaged and say so on the terminal at best, and one version of OpenCV
does not what another does. A picture whose codes cannot be read, whose data goes on after
the last of its blocks or ends before it, or whose blocks are brighter than white, is not what
the camera wrote. A changed byte that leaves a stream which can be read (a somewhat wrong
brightness, say) is beyond this check.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SOI, EOI, SOS, DHT, DRI, DQT = 0xD8, 0xD9, 0xDA, 0xC4, 0xDD, 0xDB
SEQUENTIAL = frozenset({0xC0, 0xC1})
"""Huffman, one pass: what cameras write. Others are read by their markers only."""
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, 0xCC}
FIRST_RESTART, LAST_RESTART = 0xD0, 0xD7
BLOCK = 64
"""Coefficients of a block."""
END = 4 * BLOCK
"""Added to the place in a block by the code that ends it."""
LONGEST_CODE = 16
WHITE = 1024
"""A block's largest coefficient: eight times the distance from mid grey."""
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


@dataclass
class _Picture:
    """What the headers say."""

    sequential: bool = True
    components: dict[int, _Component] = field(default_factory=dict)
    units: int = 0
    """Of a scan that holds all components."""
    restart: int = 0
    tables: dict[int, NDArray[np.int16]] = field(default_factory=dict)
    """By class (0 DC, 16 AC) and number: for each 16 bits, 64 times the places that a code
    advances (DC: the bits of its value), plus the bits of code and value; 0 if it is none."""
    steps: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    """`[64]` by number: what one unit of a coefficient is worth."""


def jpeg_damage(content: bytes) -> str | None:
    """What is wrong with a JPEG, in a few words; None if its data can be read to the end.

    Args:
        content: From its first marker on.
    """
    picture = _Picture()
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
    except (IndexError, KeyError, ValueError):
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


def _table(counts: Sequence[int], symbols: bytes, *, is_ac: bool) -> NDArray[np.int16]:
    """One of `_Picture.tables`.

    Raises:
        IndexError: If there are more codes than symbols.
    """
    table = np.zeros(1 << LONGEST_CODE, dtype=np.int16)
    code = taken = 0
    for length, count in enumerate(counts, start=1):
        for _ in range(count):
            symbol = symbols[taken]
            run, size = divmod(symbol, 16) if is_ac else (0, symbol)
            places = size if not is_ac else run + 1 if size or run == 15 else END
            if size <= LONGEST_CODE and (size or run in {0, 15}):
                low = code << (LONGEST_CODE - length)
                high = (code + 1) << (LONGEST_CODE - length)
                table[low:high] = length + size + BLOCK * places
            code, taken = code + 1, taken + 1
        code <<= 1
    return table


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
    data: bytes, unit: Sequence[_Block], units: int, tables: dict[int, NDArray[np.int16]]
) -> str | None:
    """Follow the codes of all blocks from bit to bit."""
    codes = dict(_codes(data, {number for one in unit for number in (one.dc, one.ac)}, tables))
    bits = 8 * len(data)
    at = 0
    means = dict.fromkeys((block.component for block in unit), 0)
    for block in itertools.chain.from_iterable(itertools.repeat(unit, units)):
        if at >= bits:
            return SHORT
        code = codes[block.dc][at]
        if not code:
            return BROKEN
        at += code % BLOCK
        means[block.component] += _value(data, at, code // BLOCK)
        if abs(means[block.component]) * block.step > WHITE + block.step:
            return "a block of it is brighter than white or darker than black"
        steps, place = codes[block.ac], 1
        while place < BLOCK:
            if at >= bits:
                return SHORT
            code = steps[at]
            if not code:
                return BROKEN
            at += code % BLOCK
            place += code // BLOCK
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
    data: bytes, wanted: set[int], tables: dict[int, NDArray[np.int16]]
) -> Iterator[tuple[int, memoryview]]:
    """For each table what it says at every bit of the data."""
    padded = np.frombuffer(data + b"\xff\xff\xff", dtype=np.uint8).astype(np.uint32)
    words = (padded[:-2] << 16) | (padded[1:-1] << 8) | padded[2:]
    shifts = np.arange(8, 0, -1, dtype=np.uint32)
    windows = ((words[:-1, None] >> shifts) & 0xFFFF).astype(np.uint16).ravel()
    for number in wanted:
        yield number, tables[number][windows].data
