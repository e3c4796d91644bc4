"""Numbers for which there is no frame, as runs: their count costs no memory.

Frames may be numbered by microseconds; then nearly every number is absent.
"""

from collections.abc import Iterable, Iterator

Gap = int | tuple[int, int]
"""One absent number, or the first and the last of a run of them, inclusive."""
Gaps = tuple[Gap, ...]
"""In order, without overlap."""


def gaps_between(numbers: Iterable[int], first: int, last: int) -> Gaps:
    """What is absent from `first` to `last`, inclusive.

    Args:
        numbers: That are there, in any order.
        first: Lowest number that could be absent.
        last: Highest.
    """
    return tuple(_gaps(sorted(n for n in numbers if first <= n <= last), first, last))


def _gaps(present: list[int], first: int, last: int) -> Iterator[Gap]:
    expected = first
    for number in [*present, last + 1]:
        if number > expected:
            yield _gap(expected, number - 1)
        expected = number + 1


def runs(numbers: Iterable[int]) -> Gaps:
    """Numbers as runs."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return tuple(_gap(first, last) for first, last in found)


def _gap(first: int, last: int) -> Gap:
    return first if first == last else (first, last)


def ends(gap: Gap) -> tuple[int, int]:
    """First and last number of a run, inclusive."""
    return (gap, gap) if isinstance(gap, int) else gap


def gap_count(gaps: Gaps) -> int:
    """How many numbers are absent."""
    return sum(last - first + 1 for first, last in map(ends, gaps))


def gaps_inside(gaps: Gaps, first: int, last: int) -> Gaps:
    """The part of the gaps from `first` to `last`, inclusive."""
    cut = ((max(low, first), min(high, last)) for low, high in map(ends, gaps))
    return tuple(_gap(low, high) for low, high in cut if low <= high)


def gaps_text(gaps: Gaps, most: int = 4) -> str:
    """`10, 15-16`, cut after some runs."""
    words = [str(low) if low == high else f"{low}-{high}" for low, high in map(ends, gaps)]
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")
