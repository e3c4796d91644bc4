"""Clock times in the names of files: `00-00-01-040`, `20240501_123001_250`, time codes."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

LONGEST_PAUSE = 50
"""Usual steps; a clock that stands still for longer is none (`take 1`, `take 2`)."""
DAY = 86400

_SEP, _BETWEEN = r"[-_:.hm]", r"[-_ .at]*"
_FRACTION = r"(?:[-_:.,s](?P<fraction>\d{2,3}|\d{6}|\d{9})(?:[-_.](?P<finer>\d{3}))?)?"
_DATE = r"(?P<year>(?:19|20)\d\d)[-_.]?(?P<month>\d\d)[-_.]?(?P<day>\d\d)"
_TIME = r"(?P<hour>\d\d)[-_:.h]?(?P<minute>\d\d)[-_:.m]?(?P<second>\d\d)"
CLOCKS = tuple(
    re.compile(rf"(?<!\d){pattern}(?!\d)")
    for pattern in (
        rf"{_DATE}{_BETWEEN}{_TIME}(?:[-_:.,s]?(?P<fraction>\d{{2,3}}|\d{{6}}|\d{{9}}))?",
        rf"(?P<hour>\d\d?){_SEP}(?P<minute>\d\d){_SEP}(?P<second>\d\d){_FRACTION}",
        rf"(?P<minute>\d\d){_SEP}(?P<second>\d\d)[-_:.,s](?P<fraction>\d{{3}})",
        r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)[-_.](?P<fraction>\d{3}|\d{6}|\d{9})",
    )
)
"""Clock times in names, in lower case."""


@dataclass(frozen=True)
class ClockTimes:
    """Times that names say."""

    seconds: tuple[Fraction, ...]
    """Of each name."""
    words: tuple[str, ...]
    """As written."""
    remarks: tuple[str, ...]
    """What is assumed, a sentence each."""


def clock_times(stems: Sequence[str]) -> ClockTimes | None:
    """Times of day in names, if everything that changes from name to name is one.

    Args:
        stems: Names without suffixes, in lower case.
    """
    for pattern in CLOCKS:
        matches = [match for stem in stems if (match := pattern.search(stem))]
        if len(matches) < len(stems):
            continue
        if len({without(stem, match) for stem, match in zip(stems, matches, strict=True)}) > 1:
            continue
        times = _times(matches)
        if times is not None:
            return ClockTimes(times[0], tuple(match[0] for match in matches), times[1])
    return None


def without(stem: str, match: re.Match[str]) -> str:
    """A name without what was found in it."""
    return f"{stem[: match.start()]}*{stem[match.end() :]}"


def _times(matches: list[re.Match[str]]) -> tuple[tuple[Fraction, ...], tuple[str, ...]] | None:
    """Seconds of clock times, and what is assumed; None if they are no clock."""
    fields = [{name: text for name, text in match.groupdict().items() if text} for match in matches]
    widths = {len(one.get("fraction", "")) for one in fields}
    if len(widths) > 1 or not all(_is_possible(one) for one in fields):
        return None
    remarks = ["names are read as clock times"]
    (width,) = widths
    scale = Fraction(1, 10**width)
    if width == 2 and (most := max(int(one["fraction"]) for one in fields)) < 60:
        scale = Fraction(1, most + 1)
        remarks = [f"names are read as time codes, {most + 1} frames a second"]
    seconds = [_second(one, scale) for one in fields]
    if "year" not in fields[0] and (turned := _over_midnight(seconds)):
        seconds = turned
        remarks.append("they pass midnight, it is assumed")
    ordered = sorted(set(seconds))
    steps = sorted(later - earlier for earlier, later in itertools.pairwise(ordered))
    if len(steps) > 2 and steps[-1] > LONGEST_PAUSE * steps[len(steps) // 2]:
        return None
    return tuple(seconds), tuple(remarks)


def _is_possible(fields: dict[str, str]) -> bool:
    limits = {"month": (1, 12), "day": (1, 31), "hour": (0, 23), "minute": (0, 59)}
    limits["second"] = (0, 60)
    return all(
        low <= int(fields[name]) <= high for name, (low, high) in limits.items() if name in fields
    )


def _second(fields: dict[str, str], scale: Fraction) -> Fraction:
    number = {name: int(text) for name, text in fields.items()}
    days = 0
    if "year" in number:
        # Days since a fixed one, whatever the month: the calendar's rule in whole numbers.
        year, month = number["year"] - (number["month"] < 3), (number["month"] + 9) % 12
        days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5
        days += number["day"]
    whole = (days * 24 + number.get("hour", 0)) * 3600 + number["minute"] * 60 + number["second"]
    fine = number.get("fraction", 0) * scale
    return whole + fine + Fraction(number.get("finer", 0), 10**6)


def _over_midnight(seconds: list[Fraction]) -> list[Fraction] | None:
    """The times with those after midnight put behind; None if there is no midnight in them."""
    ordered = sorted(set(seconds))
    for earlier, later in itertools.pairwise(ordered):
        if later - earlier > DAY / 2:
            return [one + DAY if one <= earlier else one for one in seconds]
    return None
