"""Write, hash and read shards (HDF5). Layout: `mol_pipeline.contract.shard_layout`."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.files import atomically, hash_file
from mol_pipeline.contract.manifest import ShardRecord
from mol_pipeline.contract.shard_layout import (
    CLIP_ARRAYS,
    HDF5_DAMAGE,
    SCHEMA_VERSION,
    VIDEO_NUMBER_COLUMNS,
    VIDEO_TABLE,
    VIDEO_TEXT_COLUMNS,
)
from mol_pipeline.errors import ManifestError

# Blosc2 writes its number of threads into every chunk and by default takes it from the machine;
# the bytes must not tell machines apart. Set here and not where it is used: the C library reads
# the environment while another thread may be writing a shard.
os.environ["BLOSC_NTHREADS"] = "1"


@dataclass(frozen=True)
class PreparedVideo:
    """The clips of one video, ready to be stored."""

    arrays: Mapping[str, NDArray[Any]]
    """`CLIP_ARRAYS` without `video`; first axis is the clip."""
    identity: Mapping[str, str]
    """The text columns of the video table."""
    key_frames: Mapping[str, int]
    """The number columns of the video table; -1 for none."""
    several_faces: int = 0
    """Frames in which the detector saw more than one face."""
    frame_times: tuple[float, ...] = ()
    """Seconds of the frames of its clips, row by row, where steps are unequal; else empty."""
    remarks: tuple[str, ...] = ()
    """What was found while its frames were read: scaled, damaged, left out; sentences."""

    @property
    def clips(self) -> int:
        """Number of clips."""
        return len(self.arrays["phase"])


def _compression(name: str) -> dict[str, Any]:
    codecs: dict[str, tuple[Literal["zstd", "lz4"], int]] = {
        "blosc2-zstd": ("zstd", 1),
        "blosc2-lz4": ("lz4", 5),
    }
    if name in codecs:
        codec, level = codecs[name]
        return dict(hdf5plugin.Blosc2(cname=codec, clevel=level, filters=hdf5plugin.Blosc2.SHUFFLE))
    if name == "gzip":
        return {"compression": "gzip", "compression_opts": 6, "shuffle": True}
    return {}


def write_shard(
    path: Path, videos: Sequence[PreparedVideo], *, compression: str, config_hash: str
) -> ShardRecord:
    """Write whole videos as one shard, atomically.

    Equal videos give equal bytes: no time stamps, fixed order, fixed filter, and every
    dataset flushed before the next is begun. Without the flush HDF5 places chunks when a
    dataset is closed, and that moment is chance: a profiler's sample of the stack is enough
    to keep one open. Several threads may write at once; h5py lets one after the other into HDF5.

    Args:
        path: Final name; its directory exists.
        videos: At least one, all with clips of the same length.
        compression: As in `ShardConfig.compression`.
        config_hash: Of the settings that made the clips.
    """
    if not videos:
        raise ValueError("a shard holds at least one video")
    # A task that Dask started twice must not write into the other's file.
    with atomically(path) as place:
        content_hash = _write_content(place, videos, compression, config_hash)
        return ShardRecord(
            file=path.name,
            bytes=place.stat().st_size,
            sha256=hash_file(place),
            content_hash=content_hash,
            clips=sum(video.clips for video in videos),
            videos=len(videos),
        )


def _write_content(
    place: Path, videos: Sequence[PreparedVideo], compression: str, config_hash: str
) -> str:
    """Every array and attribute of a shard; returns the hash of what it holds."""
    rows = sum(video.clips for video in videos)
    frames = videos[0].arrays["frames"].shape[1]
    video_of_row = np.repeat(np.arange(len(videos)), [video.clips for video in videos])
    content = hashlib.sha256()
    open_datasets: list[h5py.Dataset] = []
    with h5py.File(place, "w", libver="latest", track_order=False) as file:
        for array in CLIP_ARRAYS:
            if array.name == "video":
                data = video_of_row
            else:
                data = np.concatenate([video.arrays[array.name] for video in videos])
            data = np.ascontiguousarray(data, dtype=array.dtype)
            expected = (rows, *array.row_shape(frames))
            if data.shape != expected:
                raise ValueError(f"{array.name}: shape {data.shape}, the layout says {expected}")
            # One clip, one chunk: one read gives one clip. Scalars share a chunk.
            chunks = (1, *expected[1:]) if len(expected) > 1 else (rows,)
            large = data[0].nbytes >= 4096
            open_datasets.append(
                file.create_dataset(
                    array.name,
                    data=data,
                    chunks=chunks,
                    track_times=False,
                    **(_compression(compression) if large else {}),
                )
            )
            file.flush()
            content.update(array.name.encode() + data.tobytes())
        open_datasets += _write_video_table(file, videos, content)
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["config_hash"] = config_hash
        file.attrs["content_hash"] = content.hexdigest()
    return content.hexdigest()


def _write_video_table(
    file: h5py.File, videos: Sequence[PreparedVideo], content: "hashlib._Hash"
) -> list[h5py.Dataset]:
    table = file.create_group(VIDEO_TABLE, track_order=False)
    columns: list[h5py.Dataset] = []
    for column in VIDEO_TEXT_COLUMNS:
        values = [video.identity[column] for video in videos]
        columns.append(
            table.create_dataset(
                column, data=values, dtype=h5py.string_dtype("utf-8"), track_times=False
            )
        )
        file.flush()
        content.update("\0".join([column, *values]).encode())
    for column in VIDEO_NUMBER_COLUMNS:
        numbers = np.array([video.key_frames[column] for video in videos], dtype="<i4")
        columns.append(table.create_dataset(column, data=numbers, track_times=False))
        file.flush()
        content.update(column.encode() + numbers.tobytes())
    return columns


@dataclass(frozen=True)
class ShardProblem:
    """One thing that is wrong with a directory of shards."""

    kind: str
    """`missing`, `size`, `bytes`, `extra` or `unfinished`."""
    where: str
    message: str


def shard_problems(directory: Path, shards: Sequence[ShardRecord]) -> Iterator[ShardProblem]:
    """Everything by which the files in a directory differ from their records."""
    for shard in shards:
        path = directory / shard.file
        if not path.is_file():
            yield ShardProblem("missing", shard.file, "is in the manifest but not on disk")
        elif path.stat().st_size != shard.bytes:
            size = path.stat().st_size
            yield ShardProblem("size", shard.file, f"has {size} bytes, the manifest {shard.bytes}")
        elif hash_file(path) != shard.sha256:
            yield ShardProblem("bytes", shard.file, "content differs from the manifest's SHA-256")
    known = {shard.file for shard in shards}
    for path in sorted(directory.glob("*.h5")):
        if path.name not in known:
            yield ShardProblem("extra", path.name, "is on disk but not in the manifest")
    for path in sorted(directory.glob(".*.part")):
        yield ShardProblem("unfinished", path.name, "is left from an interrupted write")


def remove_strays(directory: Path, shards: Sequence[ShardRecord]) -> Iterator[Path]:
    """Delete shard files and leftovers that no record names; yields each."""
    known = {shard.file for shard in shards}
    for path in sorted([*directory.glob("shard-*.h5"), *directory.glob(".*.part")]):
        if path.name not in known:
            path.unlink()
            yield path


def open_shard(path: Path) -> h5py.File:
    """Open a shard for reading, without a lock (network file systems have none).

    Raises:
        ManifestError: If it is no readable shard of this schema version.
    """
    try:
        file = h5py.File(path, "r", locking=False)
        version = file.attrs.get("schema_version")
    except HDF5_DAMAGE as error:
        raise ManifestError(
            f"{path}: cannot be opened as HDF5 ({error}); run molprep verify"
        ) from error
    if version != SCHEMA_VERSION:
        file.close()
        raise ManifestError(
            f"{path}: schema version {version}, this program reads {SCHEMA_VERSION}"
        )
    return file
