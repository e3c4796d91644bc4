"""One video through the kernels: sample, read, detect, landmarks, align, flow.

An outcome is a prepared video or a named rejection; neither stops a build.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mol_pipeline.config import BuildConfig, ReadingConfig
from mol_pipeline.contract.labels import LabelMapping
from mol_pipeline.contract.manifest import RejectedVideo, StoredKeyFrames, VideoRecord
from mol_pipeline.contract.rejections import Rejection, RejectionCode
from mol_pipeline.contract.shard_layout import CLIP_ARRAYS, FaceStatus, no_key_frames
from mol_pipeline.contract.video_table import table_numbers, table_texts
from mol_pipeline.databases.index import SourceVideo, clip_record
from mol_pipeline.kernels import sampling
from mol_pipeline.reading.frames import Grey
from mol_pipeline.reading.source_faults import UNREACHABLE, SourceFault
from mol_pipeline.reading.timing import steps_text
from mol_pipeline.shards.clip_rows import collected, joined
from mol_pipeline.shards.files import PreparedVideo
from mol_pipeline.stages.alignment import (
    AlignedVideo,
    Kernels,
    PictureCut,
    align_video,
    aligned_faces,
    load_kernels,
)
from mol_pipeline.stages.footage import Footage
from mol_pipeline.stages.key_frames import choose_key_frames, key_record

__all__ = [
    "UNREACHABLE",
    "AlignedVideo",
    "Kernels",
    "PictureCut",
    "Rejection",
    "SourceFault",
    "align_video",
    "choose_clips",
    "load_kernels",
    "prepare_video",
    "read_frames",
    "rejected_video",
    "video_record",
]


def prepare_video(
    video: SourceVideo,
    root: Path,
    config: BuildConfig,
    landmark_model: Path | None = None,
    *,
    scratch: Path | None = None,
) -> PreparedVideo:
    """Take one source video to its clips.

    Args:
        video: To prepare.
        root: Of its database.
        config: Of the build.
        landmark_model: Dlib's; that of its package if None.
        scratch: On whose disk the arrays of a long video lie; None: where temporary files do.

    Raises:
        Rejection: If the video cannot be prepared: too short, a frame that is no image or
            damaged, no face.
        SourceFault: If its files cannot be reached.
    """
    kernels = load_kernels(config.flow, landmark_model)
    try:
        return _prepare_whole(video, root, config, kernels, scratch)
    except PictureCut as cut:
        if config.sampling.cuts != "split" or config.sampling.phases == "keyframes":
            numbers = video.frames[cut.before][0], video.frames[cut.after][0]
            raise PictureCut(cut.before, cut.after, numbers) from None
    return _joined(video, tuple(_pieces(video, root, config, kernels, scratch)), scratch)


def _prepare_whole(
    video: SourceVideo, root: Path, config: BuildConfig, kernels: Kernels, scratch: Path | None
) -> PreparedVideo:
    """The clips of a video without a jump."""
    phases = choose_phases(video, config)
    clips = np.array(list(phases.values()))
    choice, why_none = choose_key_frames(video, config.key_frames.apex)
    used = np.unique([*clips.flat, *(choice.positions if choice else ())]).tolist()
    footage = Footage(video, root, config.reading)
    aligned = align_video(
        footage.whole(footage.frames(used)),
        kernels,
        config,
        again=footage.frames,
        faces=aligned_faces(len(used), scratch),
    )
    faces = aligned.faces
    keys = key_record(choice, why_none, video, aligned, kernels)
    count, t = clips.shape
    rows = {array.name: (count, *array.row_shape(t)) for array in CLIP_ARRAYS}
    images = ([faces[i].image for i in clip] for clip in clips.tolist())
    flows = (aligned.clip_flow(kernels, clip) for clip in clips.tolist())
    return PreparedVideo(
        arrays={
            "frames": collected(map(np.stack, images), rows["frames"], np.uint8, scratch),
            "flow": collected(flows, rows["flow"], np.float16, scratch),
            "landmarks": np.stack([[faces.landmarks(i) for i in clip] for clip in clips.tolist()]),
            "transforms": np.stack([[faces.transform(i) for i in clip] for clip in clips.tolist()]),
            "source_frames": np.array([[video.frames[i][0] for i in clip] for clip in clips]),
            "face_status": np.array([[aligned.statuses[i] for i in clip] for clip in clips]),
            "phase": np.array(list(phases)),
            **keys.arrays,
        },
        identity=table_texts(video, keys.stored),
        key_frames=table_numbers(video),
        several_faces=aligned.several,
        residual_px=aligned.residual_px,
        frame_times=tuple(video.times[i] for clip in clips for i in clip) if video.times else (),
        remarks=(*footage.remarks, *keys.remarks),
    )


Piece = tuple[SourceVideo, PreparedVideo | Rejection]


def _pieces(
    video: SourceVideo, root: Path, config: BuildConfig, kernels: Kernels, scratch: Path | None
) -> Iterator[Piece]:
    """The pieces of a video between its jumps, each sampled and prepared as if it were a video."""
    try:
        yield video, _prepare_whole(video, root, config, kernels, scratch)
    except PictureCut as cut:
        # Between the two sampled frames the jump is not seen: what lies there is in no piece.
        for place in (slice(0, cut.before + 1), slice(cut.after, None)):
            part = replace(video, frames=video.frames[place], times=video.times[place])
            yield from _pieces(part, root, config, kernels, scratch)
    except Rejection as rejection:
        yield video, rejection


def _joined(video: SourceVideo, pieces: Sequence[Piece], scratch: Path | None) -> PreparedVideo:
    """One video of the pieces that have clips; phases count from its start.

    Raises:
        Rejection: That of the first piece, if none has.
    """
    good: list[PreparedVideo] = []
    remarks = []
    for piece, outcome in pieces:
        if isinstance(outcome, PreparedVideo):
            phase = np.asarray(outcome.arrays["phase"]) + video.frames.index(piece.frames[0])
            good.append(replace(outcome, arrays={**outcome.arrays, "phase": phase}))
    for piece, outcome in pieces:
        what = f"frames {piece.frames[0][0]} to {piece.frames[-1][0]}"
        if isinstance(outcome, Rejection):
            if not good:
                raise outcome
            remarks.append(f"split where the picture jumps: {what} left out ({outcome.code})")
        else:
            remarks.append(f"split where the picture jumps: {what}, {outcome.clips} clips")
    found = dict.fromkeys(remark for one in good for remark in one.remarks)
    absent = no_key_frames()
    if any(one.identity["stored_key_frames"] for one in good):
        remarks.append("split where the picture jumps: no record of key frames")
    arrays = {
        name: joined([one.arrays[name] for one in good], scratch)
        for name in good[0].arrays
        if name not in absent
    }
    return replace(
        good[0],
        arrays={**arrays, **absent},
        identity={**good[0].identity, "stored_key_frames": ""},
        several_faces=sum(one.several_faces for one in good),
        residual_px=max((one.residual_px for one in good if one.residual_px), default=None),
        frame_times=tuple(time for one in good for time in one.frame_times),
        remarks=(*found, *remarks),
    )


def choose_clips(video: SourceVideo, config: BuildConfig) -> list[NDArray[np.int64]]:
    """Positions of the frames of each clip; errors as `choose_phases`."""
    return list(choose_phases(video, config).values())


def choose_phases(video: SourceVideo, config: BuildConfig) -> dict[int, NDArray[np.int64]]:
    """Phase -> positions of the frames of its clip, as stored (`contract.shard_layout`).

    Raises:
        Rejection: If the video is too short, or has no key frames where they are asked for.
    """
    available, settings = len(video.frames), config.sampling
    if settings.phases == "keyframes":
        return {0: _key_frames(video)}
    if video.times and available >= settings.frames:
        clips = sampling.phases_in_time(video.times, settings.frames)
        if not clips:
            raise Rejection(
                "too-short",
                f"{available} frames with steps of {steps_text(video.times)} are too few in "
                f"places for {settings.frames} frames evenly in time",
            )
    else:
        clips = dict(enumerate(sampling.uniform_phases(available, settings.frames)))
    if settings.phases == "centre":
        clips = sampling.centre(clips)
    if not clips and settings.short_video == "repeat":
        clips = dict(enumerate(sampling.repeated(available, settings.frames)))
    if not clips:
        raise Rejection(
            "too-short",
            f"{available} frame{'s' if available != 1 else ''}, a clip needs {settings.frames}",
        )
    return clips


def _key_frames(video: SourceVideo) -> NDArray[np.int64]:
    onset, apex = video.key_frames.onset, video.key_frames.apex
    if onset is None or apex is None:
        raise Rejection("no-key-frames", "keyframes sampling needs an annotated onset and apex")
    numbers = np.array([number for number, _ in video.frames])
    clips = sampling.key_frame_pair(numbers, onset, apex)
    if not clips:
        raise Rejection(
            "no-key-frames", f"onset {onset} and apex {apex} are not two frames on disk"
        )
    return clips[0]


def read_frames(
    video: SourceVideo, root: Path, positions: Sequence[int]
) -> Iterator[tuple[int, Grey]]:
    """Frames of a video that must be whole, as (position, grey `[height, width]`), in order.

    Raises:
        Rejection: If a file is no image, or is damaged.
        SourceFault: If a file cannot be reached.
    """
    footage = Footage(video, root, ReadingConfig())
    return footage.whole(footage.frames(positions))


def video_record(
    video: SourceVideo,
    prepared: PreparedVideo,
    mappings: tuple[LabelMapping, ...],
    *,
    shard: str,
    first_row: int,
) -> VideoRecord:
    """Manifest entry of a stored video."""
    status = Counter(
        FaceStatus(value).name.lower() for value in np.asarray(prepared.arrays["face_status"]).flat
    )
    record = clip_record(video, mappings)
    keys = prepared.identity["stored_key_frames"]
    return VideoRecord(
        **{**dict(record), "remarks": (*record.remarks, *prepared.remarks)},
        face_frames=dict(sorted(status.items())),
        several_faces=prepared.several_faces,
        residual_px=prepared.residual_px,
        frame_times=prepared.frame_times,
        stored_key_frames=StoredKeyFrames.model_validate_json(keys) if keys else None,
        shard=shard,
        first_row=first_row,
        rows=prepared.clips,
    )


def rejected_video(video: SourceVideo, code: RejectionCode, message: str) -> RejectedVideo:
    """Manifest entry of a video that could not be prepared."""
    return RejectedVideo(
        database=video.database,
        subject=video.subject,
        clip=video.clip,
        code=code,
        message=message,
    )
