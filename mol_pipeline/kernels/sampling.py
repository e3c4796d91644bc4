"""Which frames of a video make which clip: positions in, positions out.

A position is an index into the video's sorted list of existing frames, from 0;
frame numbers of the source never enter here.

Source: MOL Sec. 4.1.3 samples uniformly; interval and phases are decision record 0002.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.errors import ConfigError

MIN_CLIP_FRAMES = 2


def uniform_phases(available: int, frames: int) -> list[NDArray[np.int64]]:
    """Every clip of `frames` equally spaced frames, one per phase.

    With `interval = available // frames`, phase `j` takes positions `j, j + interval,
    ...`. Phases are disjoint, so no frame is in two clips. A trailing remainder shorter
    than `frames` is left out.

    Returns:
        `interval` arrays `[frames]`, sorted; none if the video is too short.
    """
    _check_frames(frames)
    interval = available // frames
    return [np.arange(frames, dtype=np.int64) * interval + phase for phase in range(interval)]


def phases_in_time(times: Sequence[float], frames: int) -> dict[int, NDArray[np.int64]]:
    """`uniform_phases` by the clock: equal steps of time, where frames have unequal ones.

    As many instants as there are frames, equally spaced from the first to the last, are
    sampled by `uniform_phases`; each takes the frame nearest in time. A phase that would take
    a frame twice, for want of others near, is left out, and of equal phases one is kept.

    Args:
        times: Seconds of each frame, in order.
        frames: Of a clip.

    Returns:
        Phase -> positions `[frames]`, sorted; none if the video is too short or its pauses too
        long.
    """
    seconds = np.asarray(times, dtype=np.float64)
    instants = np.linspace(seconds[0], seconds[-1], len(seconds))
    after = np.clip(np.searchsorted(seconds, instants), 1, len(seconds) - 1)
    is_nearer = instants - seconds[after - 1] <= seconds[after] - instants
    nearest = np.where(is_nearer, after - 1, after).astype(np.int64)
    clips: dict[int, NDArray[np.int64]] = {}
    known: set[bytes] = set()
    for phase, instant in enumerate(uniform_phases(len(seconds), frames)):
        clip = nearest[instant]
        if np.diff(clip).min() > 0 and clip.tobytes() not in known:
            clips[phase] = clip
            known.add(clip.tobytes())
    return clips


def centre(phases: Mapping[int, NDArray[np.int64]]) -> dict[int, NDArray[np.int64]]:
    """Only the middle one of the phases, under its number; none of none."""
    numbers = sorted(phases)
    middle = numbers[len(numbers) // 2 : len(numbers) // 2 + 1]
    return {phase: phases[phase] for phase in middle}


def repeated(available: int, frames: int) -> list[NDArray[np.int64]]:
    """One clip of a video with fewer than `frames` frames: each is shown several times.

    Returns:
        One array `[frames]`, sorted, first and last position kept; none for an empty video.
    """
    _check_frames(frames)
    if available < 1:
        return []
    return [np.round(np.linspace(0, available - 1, frames)).astype(np.int64)]


def key_frame_pair(numbers: NDArray[np.integer], onset: int, apex: int) -> list[NDArray[np.int64]]:
    """The clip (onset, apex) of MOL Table XIII, by frame number.

    Args:
        numbers: Sorted frame numbers of the existing files.
        onset: Onset in the same numbering.
        apex: Apex; must differ from the onset.

    Returns:
        One array `[2]`; none if the two fall on the same or on no existing frame.
    """
    positions = np.searchsorted(numbers, (onset, apex))
    if positions.max() >= len(numbers) or positions[0] == positions[1]:
        return []
    return [positions.astype(np.int64)] if tuple(numbers[positions]) == (onset, apex) else []


def _check_frames(frames: int) -> None:
    if frames < MIN_CLIP_FRAMES:
        raise ConfigError(f"frames={frames}: a clip has at least {MIN_CLIP_FRAMES} frames")
