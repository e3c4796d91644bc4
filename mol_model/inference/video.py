"""A film or a folder of frames to windows of aligned clips, by the code of `molprep build`."""

import bisect
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.contract.rejections import Rejection, RejectionCode
from mol_pipeline.contract.shard_layout import FaceStatus
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.databases.sources import open_source
from mol_pipeline.kernels.detection import FaceBox
from mol_pipeline.stages.footage import Footage
from mol_pipeline.stages.key_frames import KeyRecord, choose_key_frames, key_record
from mol_pipeline.stages.video import AlignedVideo, Kernels, align_video, choose_clips


@dataclass(frozen=True)
class PreparedWindow:
    """Neighbouring frames of a video that get one class: `K` clips of `t` frames."""

    first: int
    """Number of its first frame in the source, inclusive."""
    last: int
    """Number of its last frame, inclusive."""
    frames: NDArray[np.uint8]
    """`[K, t, 144, 144]` aligned grey frames."""
    landmarks: NDArray[np.float64]
    """`[K, t, 68, 2]` by Dlib, pixels of the aligned frame."""
    transforms: NDArray[np.float64]
    """`[K, t, 2, 3]`, source -> aligned."""
    source_frames: NDArray[np.int64]
    """`[K, t]` numbers of the source."""
    face_frames: dict[str, int]
    """How the face was found, in how many frames; names of `FaceStatus`."""
    others: dict[int, tuple[FaceBox, ...]]
    """By frame number: faces beside the one that was taken, where the detector looked."""
    keys: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """`KEY_ARRAYS`, one row each, where the network sees key frames."""
    remarks: tuple[str, ...] = ()
    """What was found in the frames read so far and done about it, a sentence each."""


@dataclass(frozen=True)
class RejectedWindow:
    """A window that cannot be prepared, and why."""

    first: int
    last: int
    code: RejectionCode
    message: str


def open_video(path: Path) -> SourceVideo:
    """List the frames of a film or of a folder; no picture is kept.

    Args:
        path: A film, a folder, or a pattern of frames (`folder/left_*`).

    Raises:
        Rejection: If it is neither, or holds no frame, or several series.
    """
    try:
        source = open_source(path)
    except FileNotFoundError:
        message = f"{path}: is not there; name a film or a folder of frames"
        raise Rejection("unreadable-video", message) from None
    except (OSError, ValueError) as error:
        raise Rejection("unreadable-video", f"{path}: {error}") from error
    return SourceVideo(
        database="own",
        subject="",
        person="",
        clip=path.stem,
        raw_label="",
        key_frames=KeyFrames(),
        folder=PurePath(os.path.relpath(source.path, path.parent)).as_posix(),
        frames=source.frames,
        times=source.times,
        rate=source.rate,
        remarks=source.all_remarks,
    )


def cut_windows(video: SourceVideo, window: int | None, shortest: int) -> list[range]:
    """Positions of the windows; the rest at the end is one too, if a clip fits into it.

    Args:
        video: The video.
        window: Frames of a window; None for one over the whole video.
        shortest: Frames of a clip.
    """
    available = len(video.frames)
    if window is None or available <= window:
        return [range(available)]
    pieces = [range(k, min(k + window, available)) for k in range(0, available, window)]
    return [piece for piece in pieces if len(piece) >= shortest]


def prepare_windows(
    video: SourceVideo, root: Path, windows: list[range], kernels: Kernels, config: BuildConfig
) -> Iterator[PreparedWindow | RejectedWindow]:
    """Read, detect, track and align; the film is read once, a window is in memory at a time.

    Each window is treated as a build treats a video: its faces are looked for anew.

    Args:
        video: From `open_video`.
        root: The folder that it lies in.
        windows: Positions, from `cut_windows`.
        kernels: Detector and predictor.
        config: Settings of the preparation.

    Raises:
        Rejection: If a window is too short for a clip.
    """
    parts = [
        replace(
            video,
            frames=video.frames[window.start : window.stop],
            times=video.times[window.start : window.stop],
        )
        for window in windows
    ]
    clips = [
        [clip + window.start for clip in choose_clips(part, config)]
        for part, window in zip(parts, windows, strict=True)
    ]
    chosen = [choose_key_frames(part, config.key_frames.apex)[0] for part in parts]
    choices = [
        choice and choice.later(window.start)
        for choice, window in zip(chosen, windows, strict=True)
    ]
    places = {int(position) for of_window in clips for clip in of_window for position in clip}
    used = sorted(places.union(*(choice.positions for choice in choices if choice)))
    starts = [window.start for window in windows]
    footage = Footage(video, root, config.reading)
    groups = itertools.groupby(
        footage.frames(used), key=lambda frame: bisect.bisect_right(starts, frame[0])
    )
    broken: Rejection | None = None
    for part, of_window, choice in zip(parts, clips, choices, strict=True):
        first, last = part.frames[0][0], part.frames[-1][0]
        try:
            _, frames = next(groups)
            aligned = align_video(footage.whole(frames), kernels, config, again=footage.frames)
        except Rejection as error:
            broken = error
            yield RejectedWindow(first, last, error.code, str(error))
        except StopIteration:  # the film could not be read further in an earlier window
            message = f"not reached: {broken}"
            yield RejectedWindow(first, last, "unreadable-frame", message)
        else:
            window = _prepared(video, of_window, aligned, footage.remarks, first, last)
            yield _with_keys(window, key_record(choice, "", video, aligned, kernels))


def _with_keys(window: PreparedWindow, keys: KeyRecord) -> PreparedWindow:
    """The window with its record of key frames, if it has one."""
    rows = {name: np.asarray(row) for name, row in keys.arrays.items()} if keys.stored else {}
    return replace(window, keys=rows, remarks=(*window.remarks, *keys.remarks))


def _prepared(
    video: SourceVideo,
    clips: list[NDArray[np.int64]],
    aligned: AlignedVideo,
    remarks: tuple[str, ...],
    first: int,
    last: int,
) -> PreparedWindow:
    faces, numbers = aligned.faces, [number for number, _ in video.frames]
    found = Counter(status.name.lower() for status in aligned.statuses.values())
    return PreparedWindow(
        first=first,
        last=last,
        frames=np.stack([[faces[i].image for i in clip] for clip in clips]),
        landmarks=np.stack([[faces[i].landmarks for i in clip] for clip in clips]),
        transforms=np.stack([[faces[i].transform for i in clip] for clip in clips]),
        source_frames=np.array([[numbers[i] for i in clip] for clip in clips]),
        face_frames={
            status.name.lower(): found[status.name.lower()]
            for status in FaceStatus
            if found[status.name.lower()]
        },
        remarks=remarks,
        others={numbers[position]: boxes for position, boxes in aligned.others.items()},
    )
