"""Names, types and shapes inside a shard (HDF5). Writer and reader both use them.

A shard holds whole videos; one row of the clip datasets is one clip. With `K`
clips of `t` frames and `S = ALIGNED_PX`:

    frames         u8  [K, t, S, S]       grey
    flow           f16 [K, t-1, 2, S, S]  (u right, v down), pixels of the aligned image
    landmarks      f32 [K, t, 68, 2]      (x, y), pixels of the aligned image
    transforms     f64 [K, t, 2, 3]       source -> aligned, acts on (x, y, 1)
    source_frames  i32 [K, t]             numbers in the source's file names
    face_status    u8  [K, t]             how the face was found, see `FaceStatus`
    video          i32 [K]                row of the video table
    phase          i32 [K]                sampling phase of the clip, see below
    videos/...                            one row per video: identity, labels and key frames

and for each of its `V` videos one record of the frames of onset, apex and offset:

    key_frames         u8  [V, 3, S, S]      grey
    key_flow           f16 [V, 2, 2, S, S]   onset to apex, apex to offset
    key_landmarks      f32 [V, 3, 68, 2]
    key_transforms     f64 [V, 3, 2, 3]
    key_source_frames  i32 [V, 3]            -1 where the video has no such record
    key_face_status    u8  [V, 3]

A video without the record has zeros in these, and says so in the column `stored_key_frames`, where
else it is told which rule chose each frame (`contract.manifest.StoredKeyFrames`).

A dataset of clips has one chunk a clip, all others are one chunk; every chunk ends in a Fletcher32
checksum, and texts have a fixed length so that they lie in chunks too. What HDF5 keeps around
the chunks carries checksums of its own in this format. Version 1 had none of that, and less in
the table of videos; version 2 had no action units, version 3 no record of key frames.

A phase is where a clip's uniform sampling begins: the position of its first frame among those of
its video, from 0 (where their steps of time are unequal, among as many equal ones). It is unique in
a video, also where one is split at jumps. A pair of key frames has 0, and so have repeated frames.

Convention: `flow[k, i, :, y, x]` leads from frame `i` to frame `i + 1`:
what is at `(x, y)` is found again at `(x + u, y + v)`. Pixel centres are at integers.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from mol_pipeline.contract.action_units import CD6ME_UNITS

SCHEMA_VERSION = 4
"""Version of shard and manifest that is written."""

FIRST_WITH_KEY_FRAMES = 4
"""The first version that has `KEY_ARRAYS`."""

READABLE_VERSIONS = (1, 2, 3, 4)
"""Versions that are read; a reader refuses any other. Version 1 carries no checksums."""

HDF5_VERSION = "v110"
"""Of HDF5's file format: fixed, so that any library from 1.10 on reads what a newer one wrote."""

HDF5_DAMAGE = (OSError, KeyError, IndexError, RuntimeError, ValueError, TypeError)
"""What h5py raises, by the place of the damage in a file."""

ALIGNED_PX = 144
"""Side of an aligned frame (MOL, Sec. 4.1.3)."""

LANDMARK_POINTS = 68
"""Points of the iBUG 300-W scheme, as Dlib's model gives them."""

VIDEO_TABLE = "videos"
"""Group with one dataset per column of the video table."""

VIDEO_TEXT_COLUMNS = (
    *("database", "subject", "clip", "raw_label"),
    *("person", "annotations", "onset_source", "apex_source", "offset_source", "action_units"),
    "stored_key_frames",
)
"""All that labels and folds are made from; `annotations` is JSON, and so is `action_units`, the
reading of one of them (`contract.action_units`). See `contract.video_table`."""

VERSION_1_TEXT_COLUMNS = VIDEO_TEXT_COLUMNS[:4]
VERSION_2_TEXT_COLUMNS = VIDEO_TEXT_COLUMNS[:9]
VERSION_3_TEXT_COLUMNS = VIDEO_TEXT_COLUMNS[:10]

KEY_FRAME_COLUMNS = ("onset", "apex", "offset")
"""Key frames in source numbering; -1 where the database gives none."""

VIDEO_NUMBER_COLUMNS = (*KEY_FRAME_COLUMNS, *(f"au{unit}" for unit in CD6ME_UNITS))
"""Key frames, then the action units of CD6ME: 1 where one moves, 0 where not, -1 if unknown."""

LONGEST_CLIP = 64
"""Frames of a clip at most."""

LEAST_COMPRESSED_BYTES = 4096
"""A row of a clip dataset that is smaller is stored as it is."""


def text_columns(version: int) -> tuple[str, ...]:
    """Text columns of the video table in a schema version."""
    older = {1: VERSION_1_TEXT_COLUMNS, 2: VERSION_2_TEXT_COLUMNS, 3: VERSION_3_TEXT_COLUMNS}
    return older.get(version, VIDEO_TEXT_COLUMNS)


def number_columns(version: int) -> tuple[str, ...]:
    """Number columns of the video table in a schema version."""
    return KEY_FRAME_COLUMNS if version < 3 else VIDEO_NUMBER_COLUMNS


class FaceStatus(IntEnum):
    """How the face of a frame was found."""

    DETECTED = 0
    """The detector ran on this frame and found it."""
    TRACKED = 1
    """The box of an earlier frame was held: the face is where it was, and confirmed."""
    UPSAMPLED = 2
    """Found only after enlarging the image."""
    INTERPOLATED = 3
    """No face here: landmarks between those of the neighbours in time."""
    UNCONFIRMED = 4
    """No face here: landmarks where the face was last."""
    DOUBTFUL = 5
    """Found, but hardly sure to be an upright face: the detector's score is low, or the line of
    the eyes is turned; also while the box of such a face is held."""
    UNREGISTERED = 6
    """Found, but its picture could not be brought to the reference: the frame is aligned by
    landmarks smoothed in time, as one without a face is. Only where alignment is registered."""


@dataclass(frozen=True)
class ClipArray:
    """One clip dataset: its name, its type, and the shape of one row."""

    name: str
    dtype: np.dtype

    def row_shape(self, frames: int) -> tuple[int, ...]:
        """Shape of one clip's row for clips of `frames` frames."""
        return _ROW_SHAPES[self.name](frames)

    def chunk_shape(self, rows: int, frames: int) -> tuple[int, ...]:
        """One clip, one chunk: one read gives one clip. Scalars share a chunk."""
        row = self.row_shape(frames)
        return (1, *row) if row else (rows,)

    def is_compressed(self, frames: int) -> bool:
        """Whether the setting of the compression is about this dataset."""
        row_bytes = math.prod(self.row_shape(frames)) * self.dtype.itemsize
        return row_bytes >= LEAST_COMPRESSED_BYTES


_ROW_SHAPES = {
    "frames": lambda t: (t, ALIGNED_PX, ALIGNED_PX),
    "flow": lambda t: (t - 1, 2, ALIGNED_PX, ALIGNED_PX),
    "landmarks": lambda t: (t, LANDMARK_POINTS, 2),
    "transforms": lambda t: (t, 2, 3),
    "source_frames": lambda t: (t,),
    "face_status": lambda t: (t,),
    "video": lambda t: (),
    "phase": lambda t: (),
    "key_frames": lambda t: (3, ALIGNED_PX, ALIGNED_PX),
    "key_flow": lambda t: (2, 2, ALIGNED_PX, ALIGNED_PX),
    "key_landmarks": lambda t: (3, LANDMARK_POINTS, 2),
    "key_transforms": lambda t: (3, 2, 3),
    "key_source_frames": lambda t: (3,),
    "key_face_status": lambda t: (3,),
}

CLIP_ARRAYS = (
    ClipArray("frames", np.dtype("u1")),
    ClipArray("flow", np.dtype("<f2")),
    ClipArray("landmarks", np.dtype("<f4")),
    ClipArray("transforms", np.dtype("<f8")),
    ClipArray("source_frames", np.dtype("<i4")),
    ClipArray("face_status", np.dtype("u1")),
    ClipArray("video", np.dtype("<i4")),
    ClipArray("phase", np.dtype("<i4")),
)
"""Every clip dataset, in the order in which they are written and hashed."""

KEY_ARRAYS = (
    ClipArray("key_frames", np.dtype("u1")),
    ClipArray("key_flow", np.dtype("<f2")),
    ClipArray("key_landmarks", np.dtype("<f4")),
    ClipArray("key_transforms", np.dtype("<f8")),
    ClipArray("key_source_frames", np.dtype("<i4")),
    ClipArray("key_face_status", np.dtype("u1")),
)
"""Every dataset with a row for each video instead of each clip, after those of the clips."""

KEY_ARRAY_NAMES = frozenset(array.name for array in KEY_ARRAYS)

ARRAYS_BY_NAME = {array.name: array for array in (*CLIP_ARRAYS, *KEY_ARRAYS)}


def arrays_of_version(version: int) -> tuple[ClipArray, ...]:
    """The datasets of a shard beside its table, in their order."""
    return CLIP_ARRAYS if version < FIRST_WITH_KEY_FRAMES else (*CLIP_ARRAYS, *KEY_ARRAYS)


def no_key_frames() -> dict[str, np.ndarray]:
    """One row of each of `KEY_ARRAYS` for a video that has no record of key frames."""
    rows = {array.name: np.zeros((1, *array.row_shape(0)), array.dtype) for array in KEY_ARRAYS}
    rows["key_source_frames"][:] = -1
    return rows
