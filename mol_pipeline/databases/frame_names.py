"""Numbers of frames by their file names: what changes from file to file is what counts.

    img46.jpg, 006_05562.jpg, 0001_s12.jpg      the one number that changes
    00-00-01-040.jpg, 20240501_123001_250.png   a clock: ordered as times
    1403636579.763555584.png                    seconds with decimals
    frame_0a.png, frame_0b.png                  sixteen digits, if none is left out
    left_001.png, right_001.png                 two series: a clip is one of them

A few files of another name beside a series (a contact sheet) are left out by name. Files that
share a number, and series of which none is the main one, are a problem that names two files.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from mol_pipeline.databases.clock_names import clock_times, without

LARGEST_NUMBER = 2**31 - 1
"""That a shard can hold."""
MINOR_SHARE = 0.1
"""A series with no more than this share of another's files, or one file, is an aside to it."""
PADDED = 6
"""Digits of milliseconds with zeros before them: a quarter of an hour fits."""
UNITS = ((Fraction(1, 1000), "ms"), (Fraction(1, 10**6), "\u00b5s"), (Fraction(1, 10**9), "ns"))
"""Of times without a mark, longest first."""

PIECES = re.compile("([0-9]+)")
SECONDS = re.compile(r"(?<![\d.])(\d+)\.(\d+)(?![\d.])")
STAMP = re.compile(r"(?<!\d)(\d{9,10})[-_](\d{6}|\d{9})(?!\d)")
"""Seconds and their millionths or billionths."""


@dataclass(frozen=True)
class FrameSeries:
    """The frames of a folder, numbered."""

    frames: tuple[tuple[int, str], ...] = ()
    """(number, name), sorted by number."""
    seconds: tuple[Fraction, ...] = ()
    """Of each frame since the first, where the names are times; else empty."""
    written: dict[str, int] = field(default_factory=dict)
    """What a name says -> number, where frames are counted from 0 in place of it."""
    problem: str = ""
    """Why nobody can say which files make the clip; names two of them."""
    left_out: tuple[str, ...] = ()
    """What was left out, a sentence each."""
    remarks: tuple[str, ...] = ()
    """What was assumed, a sentence each."""
    is_timed: bool = False
    """Whether the seconds are sure: clock times, fine units, milliseconds with zeros before."""


@dataclass(slots=True)
class _Name:
    """A file's name: text and numbers in turn."""

    name: str
    stem: str
    texts: tuple[str, ...]
    digits: tuple[str, ...]


@dataclass(frozen=True)
class _Reading:
    """What the changing parts of names mean."""

    values: tuple[Fraction | int, ...]
    """Of each file."""
    words: tuple[str, ...]
    """As written."""
    is_time: bool = False
    """In seconds."""
    remarks: tuple[str, ...] = ()


def number_frames(names: Sequence[str]) -> FrameSeries:
    """Number the image files of a folder; see the module.

    Args:
        names: Of image files, in any order, junk left out.
    """
    parsed = [_parse(name) for name in sorted(names)]
    if hexadecimal := _hexadecimal(parsed):
        return _series(parsed, hexadecimal, ())
    numbered = [one for one in parsed if one.digits]
    others = [one for one in parsed if not one.digits]
    groups = _grouped(numbered, lambda one: one.texts)
    if not groups:
        return FrameSeries()
    chosen, aside, problem = _main(groups)
    left_out = _left_out([*aside, *others])
    reading = _read(chosen)
    if reading is None:
        counter = _counter(chosen)
        parts = _grouped(chosen, lambda one: (*one.digits[:counter], *one.digits[counter + 1 :]))
        chosen, more, doubt = _main(parts)
        problem, left_out = problem or doubt, (*left_out, *_left_out(more))
        reading = _read(chosen) or _number_at(chosen, counter)
    series = _series(chosen, reading, left_out)
    return series if not problem else FrameSeries(series.frames, problem=problem)


def _parse(name: str) -> _Name:
    stem = name.rpartition(".")[0]
    if not stem.isascii():
        stem = unicodedata.normalize("NFC", stem)
    stem = stem.casefold()
    pieces = PIECES.split(stem)
    return _Name(name, stem, tuple(pieces[::2]), tuple(pieces[1::2]))


def _grouped(names: list[_Name], key: Callable[[_Name], tuple[str, ...]]) -> list[list[_Name]]:
    """Groups of names, the largest first; a sign before a number is no group of its own."""
    found: dict[tuple[str, ...], list[_Name]] = {}
    for one in names:
        found.setdefault(key(one), []).append(one)
    return sorted(found.values(), key=lambda group: (-len(group), group[0].name))


def _main(groups: list[list[_Name]]) -> tuple[list[_Name], list[_Name], str]:
    """The main group, what lies beside it, and the problem if none is the main one."""
    main, others = groups[0], groups[1:]
    if others and (joined := _signed(main, others[0])):
        main, others = joined, others[1:]
    aside = list(itertools.chain.from_iterable(others))
    is_aside = len(main) > 2 and len(aside) <= max(1, MINOR_SHARE * len(main))
    if not aside or is_aside:
        return main, aside, ""
    shown = f"{main[0].name} ({_files(main)}) and {others[0][0].name} ({_files(others[0])})"
    kinds = "two series" if len(others) == 1 else f"{1 + len(others)} series"
    pattern = _shared_start([one.name for one in main]).rstrip("0123456789")
    tells = pattern and len(main) > 1 and not any(one.name.startswith(pattern) for one in aside)
    hint = f", e.g. {pattern}*" if tells else ""
    return main, aside, f"holds {kinds} of frames, {shown}; name one of them{hint}"


def _shared_start(texts: Sequence[str]) -> str:
    low, high = min(texts), max(texts)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    return "".join(letter for letter, _ in same)


def _signed(main: list[_Name], other: list[_Name]) -> list[_Name] | None:
    """Both groups as one if a minus sign is all that tells them apart."""
    first, second = main[0].texts, other[0].texts
    differ = [k for k in range(min(len(first), len(second))) if first[k] != second[k]]
    if len(first) != len(second) or len(differ) != 1:
        return None
    (place,) = differ
    longer, shorter = sorted((first[place], second[place]), key=len, reverse=True)
    if longer != f"{shorter}-" or place >= len(main[0].digits):
        return None
    both = []
    for one in (*main, *other):
        digits = list(one.digits)
        if one.texts[place] == longer:
            digits[place] = f"-{digits[place]}"
        both.append(_Name(one.name, one.stem, one.texts, tuple(digits)))
    return both


def _left_out(names: list[_Name]) -> tuple[str, ...]:
    if not names:
        return ()
    shown = ", ".join(one.name for one in names[:2]) + (", ..." if len(names) > 2 else "")
    return (f"left out, as named otherwise than the frames: {shown} ({_files(names)})",)


def _files(names: list[_Name]) -> str:
    return "1 file" if len(names) == 1 else f"{len(names)} files"


def _varying(names: list[_Name]) -> list[int]:
    return [k for k in range(len(names[0].digits)) if len({one.digits[k] for one in names}) > 1]


def _read(names: list[_Name]) -> _Reading | None:
    """What the names of one group say; None if two parts change that are no time."""
    varying = _varying(names)
    if clock := _clock(names, varying):
        return clock
    if len(varying) < 2:
        return _number_at(names, varying[0] if varying else len(names[0].digits) - 1)
    for pattern in (SECONDS, STAMP):
        found = [pattern.search(one.stem) for one in names]
        matches = [match for match in found if match is not None]
        outside = {without(one.stem, match) for one, match in zip(names, matches, strict=False)}
        if len(matches) == len(names) and len(outside) == 1:
            values = tuple(Fraction(f"{match[1]}.{match[2]}") for match in matches)
            words = tuple(match[0] for match in matches)
            return _Reading(values, words, True, ("names are read as seconds",))
    return _together(names, varying)


def _number_at(names: list[_Name], place: int) -> _Reading:
    words = tuple(one.digits[place] for one in names)
    return _Reading(tuple(int(word) for word in words), words)


def _together(names: list[_Name], varying: list[int]) -> _Reading | None:
    """One number, if each is new in every file and all of them rise together."""
    columns = {k: [int(one.digits[k]) for one in names] for k in varying}
    orders = {
        tuple(sorted(range(len(names)), key=column.__getitem__)) for column in columns.values()
    }
    if len(orders) > 1 or any(len(set(column)) < len(names) for column in columns.values()):
        return None
    place = min(varying, key=lambda k: max(columns[k]) - min(columns[k]))
    reading = _number_at(names, place)
    example = names[0].digits[place]
    remark = f"names hold {len(varying)} numbers that rise together: that of {example!r} is taken"
    return _Reading(reading.values, reading.words, remarks=(remark,))


def _counter(names: list[_Name]) -> int:
    """The place with the most numbers; of equal ones the last."""
    return max(_varying(names), key=lambda k: (len({one.digits[k] for one in names}), k))


def _clock(names: list[_Name], varying: list[int]) -> _Reading | None:
    """Times of day in the names, if everything that changes is one."""
    long = len(varying) == 1 and len(names[0].digits[varying[0]]) >= 14
    if len(varying) < 2 and not long:
        return None
    times = clock_times([one.stem for one in names])
    return None if times is None else _Reading(times.seconds, times.words, True, times.remarks)


def _hexadecimal(names: list[_Name]) -> _Reading | None:
    """Numbers of sixteen digits, if they count without a gap: letters alone prove nothing."""
    stems = [one.stem for one in names]
    if len(stems) < 3 or len(set(stems)) < len(stems):
        return None
    start = len(_shared_start(stems))
    end = len(_shared_start([stem[::-1] for stem in stems]))
    words = [stem[start : len(stem) - end] for stem in stems]
    if len({len(word) for word in words}) > 1 or not any(map(str.isalpha, "".join(words))):
        return None
    if not all(re.fullmatch(r"[0-9a-f]+", word) for word in words):
        return None
    values = [int(word, 16) for word in words]
    if max(values) - min(values) != len(values) - 1:
        return None
    remark = "names are read as numbers of sixteen digits (0 to f)"
    return _Reading(tuple(values), tuple(words), remarks=(remark,))


def _series(names: list[_Name], reading: _Reading, left_out: tuple[str, ...]) -> FrameSeries:
    """Frames in the order of what their names say."""
    order = sorted(range(len(names)), key=lambda k: (reading.values[k], names[k].name))
    values = [reading.values[k] for k in order]
    problem = ""
    for earlier, later in itertools.pairwise(order):
        if reading.values[earlier] == reading.values[later]:
            what = reading.words[earlier].lstrip("0") or "0"
            both = f"{names[earlier].name} and {names[later].name}"
            problem = f"{both} share the number {what}; keep one of them"
            break
    files = [names[k].name for k in order]
    words = [reading.words[k] for k in order]
    remarks = reading.remarks
    seconds: tuple[Fraction, ...] = ()
    unit = None if reading.is_time else _unit_of(values)
    is_fine = unit is not None and unit[1] != "ms"
    # Every tenth frame looks like milliseconds too: zeros before the number tell them apart.
    is_timed = reading.is_time or is_fine or (words[0][0] == "0" and len(words[0]) >= PADDED)
    if reading.is_time:
        seconds = tuple(Fraction(value - values[0]) for value in values)
    elif unit is not None:
        seconds = tuple((value - values[0]) * unit[0] for value in values)
        measured = f" in {unit[1]}" if is_timed else ": the steps between them count"
        remarks = (*remarks, f"numbers that leave others out are read as times{measured}")
    if reading.is_time or is_fine or values[0] < 0 or values[-1] > LARGEST_NUMBER:
        numbers = range(len(values))
        remarks = (*remarks, "frames are counted from 0 in the order of their names")
        written = dict(zip(words, numbers, strict=True))
    else:
        numbers, written = [int(value) for value in values], {}  # type: ignore[assignment]
    first_of: dict[int, str] = {}
    for number, name in zip(numbers, files, strict=True):
        first_of.setdefault(number, name)
    if len(first_of) < len(files):
        seconds = ()
    frames = tuple(first_of.items())
    return FrameSeries(frames, seconds, written, problem, left_out, remarks, is_timed)


def _unit_of(values: Sequence[Fraction | int]) -> tuple[Fraction, str] | None:
    """Unit in which numbers that never follow one another are from 1 to 1000 a second."""
    steps = [later - earlier for earlier, later in itertools.pairwise(values)]
    if len(steps) < 2 or min(steps) <= 1:
        return None
    mean = Fraction(sum(steps)) / len(steps)
    return next((unit for unit in UNITS if mean * unit[0] <= 1), UNITS[-1])
