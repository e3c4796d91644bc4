"""Which frames of a folder are a clip's: those with the annotated numbers, if they can be meant.

Many copies are unpacked with frames numbered anew from 0 or 1 in each clip, in place of the numbers
of the recording that the annotation speaks of. Where both ranges overlap, taking frames by number
gives wrong ones. So both readings are held against the folder, by how much each leaves absent, and
the reading that does not fit is not taken; where both fit a little, neither is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mol_pipeline.contract.gaps import Gaps, gap_count, gaps_text
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.contract.rejections import RejectionCode

Frames = Sequence[tuple[int, str]]
"""(number, file name), sorted by number."""

Numbers = Literal["auto", "named", "anew"]
"""What the numbers in the names of frames are: `named` those of the annotation, `anew` counted from
the start of each clip where they can be so, `auto` as the database has it, if the frames agree."""

FEW = 2
"""Frames by which a folder may differ from the annotated interval and still be all of it: cameras
lose a frame, and programs that unpack films lose the first or the last."""

STARTS = (0, 1)
"""Where programs begin to count."""


class Misfit(Exception):
    """No frames of a folder can be taken as the clip's.

    Args:
        code: Reason code of the rejection.
        message: In words.
    """

    def __init__(self, code: RejectionCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def require_most(
    where: str, found: int, missing: Gaps, most: float, why: str = "is the archive whole?"
) -> None:
    """Refuse a clip that lacks more of its frames than is allowed.

    Args:
        where: Its folder, for the message.
        found: Frames that are there.
        missing: Numbers for which there is none.
        most: Share that may be missing.
        why: What may be the reason, for the message.

    Raises:
        Misfit: If more is.
    """
    absent = gap_count(missing)
    if absent > most * (found + absent):
        raise Misfit(
            "missing-frames",
            f"{where}: {absent} of its {found + absent} frames are not there "
            f"({gaps_text(missing)}): {why} '--most-missing 1' takes what there is",
        )


def may_be_renumbered(present: Frames, key_frames: KeyFrames) -> bool:
    """Whether frames that were taken by number may be numbered anew, if others of the copy are.

    They begin at the start of a count, before the interval, and end before it does: of a whole
    recording its end would be absent.

    Args:
        present: All frames of the folder.
        key_frames: As they are annotated.
    """
    first, last = present[0][0], present[-1][0]
    onset, offset = key_frames.onset, key_frames.offset
    return (
        onset is not None and offset is not None and first in STARTS and first < onset
    ) and last < offset


@dataclass(frozen=True)
class Fit:
    """The frames of a clip."""

    frames: tuple[tuple[int, str], ...]
    key_frames: KeyFrames
    """In the numbering of the frames."""
    absent: int
    """Annotated frames for which there is no file; 0 where no interval is annotated."""
    renumbered: str = ""
    """In words, if the frames are numbered anew."""


def fit(present: Frames, key_frames: KeyFrames, numbers: Numbers, *, anew: bool = False) -> Fit:
    """The frames of a folder that are the clip's.

    Args:
        present: All frames of the folder; not empty.
        key_frames: As they are annotated.
        numbers: What the user said about the numbers.
        anew: Whether folders of this database may be numbered anew by its owners.

    Raises:
        Misfit: If no reading gives frames, or one that must not be guessed.
    """
    onset, offset = key_frames.onset, key_frames.offset
    as_named = Fit(tuple(_between(present, key_frames)), key_frames, 0)
    first, last = present[0][0], present[-1][0]
    if onset is None or offset is None:
        return _some(as_named, f"{first}..{last}", f"{onset}..{offset}")
    count, span = offset - onset + 1, last - first + 1
    absent = count - len(as_named.frames)
    as_named = Fit(as_named.frames, key_frames, absent)
    interval = f"{onset}..{offset}"
    if numbers == "named" or absent == 0:
        return _some(as_named, f"{first}..{last}", interval)
    exact = span == count
    if numbers == "anew" and first in STARTS and first != onset and span < count - FEW:
        raise Misfit(
            "frames-do-not-fit",
            f"frames {first}..{last} are numbered anew and {count - span} fewer than {interval} "
            "has: nobody can say which are absent; unpack the clip again",
        )
    starts_so = first in STARTS or (exact and not as_named.frames)
    if not starts_so or first == onset or abs(span - count) > FEW:
        # No whole recording begins before an interval and ends within its first half.
        if as_named.frames and first in STARTS and first < onset and absent > count / 2:
            raise Misfit(
                "frames-do-not-fit",
                f"frames {first}..{last} are neither the {count} of {interval} nor most of them; "
                "unpack the clip again, or '--numbers named' if the recording ends there",
            )
        return _some(as_named, f"{first}..{last}", interval)
    if numbers == "auto" and not exact and absent <= FEW:
        raise Misfit(
            "ambiguous-numbers",
            f"frames {first}..{last} may be {interval} without {absent}, or numbered anew from "
            "the start of the clip: say which with '--numbers named' or '--numbers anew'",
        )
    if numbers == "auto" and not anew:
        raise Misfit(
            "renumbered",
            f"frames {first}..{last} are as many as {interval} has, so they seem to be numbered "
            "anew from the start of the clip: '--numbers anew' takes them in order, '--numbers "
            "named' by their numbers",
        )
    return _in_order(present, key_frames, first - onset, last)


def _some(fit: Fit, have: str, interval: str) -> Fit:
    if not fit.frames:
        raise Misfit("no-frames", f"frames {have}, annotated are {interval}")
    return fit


def _in_order(present: Frames, annotated: KeyFrames, by: int, last: int) -> Fit:
    """The folder's frames as those of the clip, its key frames moved into their numbering."""
    key_frames = _moved(annotated, by)
    words = f"frames are numbered anew from the start of the clip: key frames moved by {by:+}"
    if key_frames.offset is not None and key_frames.offset > last:
        words += f", offset {key_frames.offset} cut to the last frame {last}"
        beyond = key_frames.apex is not None and key_frames.apex > last
        key_frames = key_frames.model_copy(
            update={"offset": last, "offset_source": "corrected"}
            | ({"apex": None, "apex_source": "absent"} if beyond else {})
        )
    frames = tuple(_between(present, key_frames))
    if len(frames) < len(present):
        words += f", {len(present) - len(frames)} frame(s) after the offset left out"
    onset, offset = key_frames.onset, key_frames.offset
    count = len(frames) if onset is None or offset is None else offset - onset + 1
    return Fit(frames, key_frames, count - len(frames), words)


def _between(frames: Frames, key_frames: KeyFrames) -> list[tuple[int, str]]:
    low, high = key_frames.onset, key_frames.offset
    return [
        (number, name)
        for number, name in frames
        if (low is None or number >= low) and (high is None or number <= high)
    ]


def _moved(key_frames: KeyFrames, by: int) -> KeyFrames:
    values = {
        name: None if value is None else value + by
        for name, value in (
            ("onset", key_frames.onset),
            ("apex", key_frames.apex),
            ("offset", key_frames.offset),
        )
    }
    return key_frames.model_copy(update=values)
