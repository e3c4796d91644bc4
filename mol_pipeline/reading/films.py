"""Films: which of their frames are shown, when, and what they look like.

Convention: the first frame that is shown is number 0. What a film says of itself is followed:
its edit list, its time stamps, the shape of its pixels, its turn and mirroring, its range. A
frame that the decoder calls damaged is named, and so is every frame that was made from it.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.reading.film_damage import LOOK_AHEAD, Numbering, shown_frames
from mol_pipeline.reading.film_packets import (
    ALONE,
    HIDING,
    Survey,
    named_errors,
    opened_film,
    survey_film,
)
from mol_pipeline.reading.film_pictures import film_remarks, frame_bits, upright_picture
from mol_pipeline.reading.pictures import Colour, Grey, bits_used


@dataclass(frozen=True)
class Film:
    """What a film holds, found without keeping a picture."""

    frames: int
    """That are shown."""
    seconds: tuple[Fraction, ...]
    """Since the first, of every frame; empty where the film does not say."""
    remarks: tuple[str, ...]
    """What is changed, left out or assumed, a sentence each."""


@dataclass
class FilmLog:
    """What was found while a film was read."""

    damaged: dict[int, str] = field(default_factory=dict)
    """Number of a frame -> what is wrong with it."""
    bits: int | None = None
    """In use, of a film of 16 bits; None for others."""


def probe_film(path: Path) -> Film:
    """Count the frames of a film as they are shown, and say what it is like.

    Packets are counted where they are known to be frames; else the film is decoded.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no film.
    """
    with named_errors():
        survey = survey_film(path)
        with opened_film(path) as container:
            frames = shown_frames(container, survey)
            first = next(frames, None)
            if first is None:
                raise ValueError("holds no picture that can be decoded")
            stamps: Sequence[int | None]
            # Fields of half the lines may have packets of their own.
            if survey.plain and not first.interlaced_frame:
                stamps = survey.stamps
                if None not in stamps:
                    stamps = sorted(stamps)  # type: ignore[type-var]
            else:
                stamps = [first.pts, *(frame.pts for frame in frames)]
            remarks = [*survey.remarks, *film_remarks(first, survey.aspect)]
    seconds = _seconds(stamps, survey.time_base)
    if survey.hidden:
        remarks.append(f"its edit list leaves out {survey.hidden} stored frames")
    unseen = len(survey.stamps) - len(stamps)
    if unseen > 0 and not survey.keys[0]:
        remarks.append(f"{unseen} stored frames cannot be shown: it begins inside a group")
    elif unseen > 0 and survey.codec not in HIDING and not first.interlaced_frame:
        remarks.append(f"{unseen} stored frames give no picture")
    if not seconds and len(stamps) > 1:
        remarks.append("it gives no time stamps: equal steps are assumed")
    return Film(len(stamps), seconds, tuple(remarks))


def read_video_frames(
    path: Path, numbers: Iterable[int], log: FilmLog | None = None
) -> Iterator[tuple[int, Grey]]:
    """Chosen frames of a film as (number, grey `[height, width]`), in order, upright.

    A 16-bit film is read twice: first to see which bits it uses.

    Args:
        path: The film.
        numbers: Of frames that are shown, from 0.
        log: Takes what is found; damage is complete when the last frame was given.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no film, or a frame that is asked for cannot be decoded.
    """
    yield from _read(path, numbers, log or FilmLog(), grey=True)


def read_video_pictures(path: Path, numbers: Iterable[int]) -> Iterator[tuple[int, Colour]]:
    """Chosen frames of a film in colour; see `read_video_frames`."""
    for number, picture in _read(path, numbers, FilmLog(), grey=False):
        yield number, picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)


def _read(
    path: Path, numbers: Iterable[int], log: FilmLog, *, grey: bool
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    wanted = sorted(set(numbers))
    if not wanted:
        return
    found = beyond = 0
    with named_errors():
        survey = survey_film(path)
        bits = log.bits = _bits_of(path, survey)
        numbering = Numbering(survey, log.damaged)
        with opened_film(path) as container:
            for frame in shown_frames(container, survey, numbering):
                number = numbering.take(frame)
                if found < len(wanted) and number == wanted[found]:
                    numbering.check()
                    found += 1
                    yield number, upright_picture(frame, survey.aspect, bits, grey=grey)
                elif found < len(wanted) and number > wanted[found]:
                    break  # one that is asked for was lost
                elif found == len(wanted):
                    beyond += 1
                    if beyond > LOOK_AHEAD or survey.codec in ALONE:
                        break
    if found < len(wanted):
        lost = wanted[found]
        if lost in log.damaged or numbering.count > lost:
            raise ValueError(f"frame {lost} is damaged and cannot be decoded")
        raise ValueError(f"ends before frame {lost}; is the file cut short?")


def _bits_of(path: Path, survey: Survey) -> int | None:
    """Bits that a 16-bit film uses, None for other films."""
    used = 0
    with opened_film(path) as container:
        for frame in shown_frames(container, survey):
            if frame_bits(frame) < 16:
                return None
            used |= int(np.bitwise_or.reduce(frame.to_ndarray(format="gray16le"), axis=None))
    return bits_used(used)


def _seconds(stamps: Sequence[int | None], time_base: Fraction) -> tuple[Fraction, ...]:
    """Seconds since the first frame; empty if a time is missing or runs backwards."""
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) < len(stamps) or not known:
        return ()
    if any(later < earlier for earlier, later in itertools.pairwise(known)):
        return ()
    return tuple((stamp - known[0]) * time_base for stamp in known)
