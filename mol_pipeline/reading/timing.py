"""When the frames of a video were taken, and whether their steps are equal."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

DIGITS = 6
"""Decimals of stored seconds: a microsecond."""


def unequal_times(seconds: Sequence[Fraction]) -> tuple[float, ...]:
    """Seconds since the first frame where the steps are unequal; empty where they are not.

    Steps count as equal if every frame is less than half a step from where equal steps would
    put it: then counting frames and counting time choose the same ones.

    Args:
        seconds: Of each frame, in order.
    """
    if len(seconds) < 3:
        return ()
    times = np.array([float(one - seconds[0]) for one in seconds])
    step = times[-1] / (len(times) - 1)
    if step <= 0 or np.abs(times - step * np.arange(len(times))).max() < 0.5 * step:
        return ()
    return tuple(float(time) for time in times.round(DIGITS))


def has_odd_steps(seconds: Sequence[Fraction]) -> bool:
    """Whether a step is a half longer or shorter than the usual one."""
    steps = np.diff([float(one - seconds[0]) for one in seconds])
    usual = float(np.median(steps)) if len(steps) else 0.0
    return bool(len(steps) > 1 and np.abs(steps - usual).max() > 0.5 * usual)


def steps_text(times: Sequence[float]) -> str:
    """Shortest and longest step: `40 to 160 ms`."""
    steps = 1000 * np.diff(np.asarray(times))
    return f"{_plain(steps.min())} to {_plain(steps.max())} ms"


def _plain(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".")
