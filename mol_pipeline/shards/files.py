"""Write shards (HDF5) and prove them. Layout: `mol_pipeline.contract.shard_layout`."""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.agreement import manifest_problems, videos_by_shard
from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.files import atomically, hash_file, is_plain_file
from mol_pipeline.contract.manifest import Manifest, ShardRecord
from mol_pipeline.contract.manifest_file import MANIFEST_NAME, read_manifest
from mol_pipeline.contract.shard_layout import (
    HDF5_DAMAGE,
    HDF5_VERSION,
    KEY_ARRAY_NAMES,
    SCHEMA_VERSION,
    VIDEO_NUMBER_COLUMNS,
    VIDEO_TABLE,
    VIDEO_TEXT_COLUMNS,
    ClipArray,
    arrays_of_version,
    no_key_frames,
    number_columns,
    text_columns,
)
from mol_pipeline.shards.clip_rows import Rows
from mol_pipeline.shards.opening import (
    check_against_shards,
    open_shard,
    read_contents,
    shard_file_problems,
)

logger = logging.getLogger(__name__)

# Blosc2 writes its number of threads into every chunk and by default takes it from the machine;
# the bytes must not tell machines apart. Set here and not where it is used: the C library reads
# the environment while another thread may be writing a shard.
os.environ["BLOSC_NTHREADS"] = "1"


@dataclass(frozen=True)
class PreparedVideo:
    """The clips of one video, ready to be stored."""

    arrays: Mapping[str, Rows]
    """`CLIP_ARRAYS` without `video`; first axis is the clip. Large ones lie on disk. Then
    `KEY_ARRAYS`, one row each, or none of them."""
    identity: Mapping[str, str]
    """The text columns of the video table, as `contract.video_table.table_texts` gives them."""
    key_frames: Mapping[str, int]
    """Its number columns, as `table_numbers` gives them."""
    several_faces: int = 0
    """Frames in which the detector saw more than one face."""
    residual_px: float | None = None
    """Where alignment is registered: see `VideoRecord.residual_px`."""
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

    Equal videos give equal bytes: no time stamps, fixed order, fixed filters and format, and
    every dataset flushed before the next is begun. Without the flush HDF5 places chunks when a
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
    frames = videos[0].arrays["frames"].shape[1]
    content = hashlib.sha256()
    open_datasets: list[h5py.Dataset] = []
    libver = (HDF5_VERSION, HDF5_VERSION)
    with h5py.File(place, "w", libver=libver, track_order=False) as file:
        for array in arrays_of_version(SCHEMA_VERSION):
            parts = _parts(array, videos)
            rows = sum(map(len, parts))
            expected = (_rows(array, videos), *array.row_shape(frames))
            found = (rows, *parts[0].shape[1:])
            if found != expected or any(part.shape[1:] != expected[1:] for part in parts):
                raise ValueError(f"{array.name}: shape {found}, the layout says {expected}")
            dataset = file.create_dataset(
                array.name,
                shape=expected,
                dtype=array.dtype,
                chunks=array.chunk_shape(rows, frames),
                track_times=False,
                fletcher32=True,  # of the bytes as they lie on disk, compressed or not
                **(_compression(compression) if array.is_compressed(frames) else {}),
            )
            open_datasets.append(dataset)
            content.update(array.name.encode())
            for block in _blocks(dataset, parts):
                content.update(block.tobytes())
            file.flush()
        open_datasets += _write_video_table(file, videos, content)
        file.attrs["schema_version"] = SCHEMA_VERSION
        # Of fixed length: a text of any length would lie in HDF5's heap, which has no checksum.
        file.attrs["config_hash"] = np.bytes_(config_hash)
        file.attrs["content_hash"] = np.bytes_(content.hexdigest())
    return content.hexdigest()


def _rows(array: ClipArray, videos: Sequence[PreparedVideo]) -> int:
    """Rows that a dataset must have."""
    return len(videos) if array.name in KEY_ARRAY_NAMES else sum(video.clips for video in videos)


def _parts(array: ClipArray, videos: Sequence[PreparedVideo]) -> list[Rows]:
    """What the videos give to a dataset, one after the other."""
    if array.name == "video":
        return [np.repeat(np.arange(len(videos)), [video.clips for video in videos])]
    absent = no_key_frames()
    return [
        video.arrays[array.name] if array.name in video.arrays else absent[array.name]
        for video in videos
    ]


def _blocks(dataset: h5py.Dataset, parts: Sequence[Rows]) -> Iterator[NDArray[Any]]:
    """Write an array, and give what was written: clip by clip where a clip is a chunk."""
    if dataset.chunks[0] != 1:
        whole = np.concatenate([np.asarray(part, dtype=dataset.dtype) for part in parts])
        dataset[...] = whole
        yield whole
        return
    place = 0
    for part in parts:
        for row in part:
            block = np.ascontiguousarray(row, dtype=dataset.dtype)
            dataset[place] = block
            place += 1
            yield block


def _write_video_table(
    file: h5py.File, videos: Sequence[PreparedVideo], content: "hashlib._Hash"
) -> list[h5py.Dataset]:
    table = file.create_group(VIDEO_TABLE, track_order=False)
    columns: list[h5py.Dataset] = []
    for column in VIDEO_TEXT_COLUMNS:
        texts = [video.identity[column] for video in videos]
        columns.append(_write_column(table, column, _fixed_length(column, texts)))
        content.update(_text_content(column, texts))
    for column in VIDEO_NUMBER_COLUMNS:
        numbers = np.array([video.key_frames[column] for video in videos], dtype="<i4")
        columns.append(_write_column(table, column, numbers))
        content.update(column.encode() + numbers.tobytes())
    return columns


def _write_column(table: h5py.Group, name: str, data: NDArray[Any]) -> h5py.Dataset:
    column = table.create_dataset(
        name, data=data, chunks=data.shape, track_times=False, fletcher32=True
    )
    table.file.flush()
    return column


def _fixed_length(column: str, texts: Sequence[str]) -> NDArray[Any]:
    """Texts as UTF-8, padded to the length of the longest."""
    if any("\0" in text for text in texts):
        raise ValueError(f"{column}: a text with a NUL in it cannot be stored")
    encoded = [text.encode() for text in texts]
    length = max(1, *map(len, encoded))
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", length))


def _text_content(column: str, texts: Sequence[str]) -> bytes:
    return "\0".join([column, *texts]).encode()


def content_hash(file: h5py.File) -> str:
    """Hash of what an open shard holds, read anew: independent of compression.

    Raises:
        ManifestError: If it cannot be read.
    """
    contents = read_contents(file)
    content = hashlib.sha256()
    try:
        for array in arrays_of_version(contents.schema_version):
            content.update(array.name.encode())
            for row in file[array.name].iter_chunks():
                content.update(file[array.name][row].tobytes())
    except HDF5_DAMAGE as error:
        raise ManifestError(f"{file.filename}: {array.name} cannot be read ({error})") from error
    for column in text_columns(contents.schema_version):
        content.update(_text_content(column, contents.texts[column]))
    for column in number_columns(contents.schema_version):
        numbers = np.array(contents.numbers[column], dtype="<i4")
        content.update(column.encode() + numbers.tobytes())
    return content.hexdigest()


@dataclass(frozen=True)
class ShardProblem:
    """One thing that is wrong with a directory of shards."""

    kind: str
    """`missing`, `link`, `size`, `bytes`, `extra`, `unfinished`, `manifest` or `content`."""
    where: str
    message: str


def shard_problems(directory: Path, shards: Sequence[ShardRecord]) -> Iterator[ShardProblem]:
    """Everything by which the files in a directory differ from their records."""
    for shard in shards:
        path = directory / shard.file
        if not path.exists():
            yield ShardProblem("missing", shard.file, "is in the manifest but not on disk")
        elif not is_plain_file(path):
            yield ShardProblem("link", shard.file, "is a link, folder or device, not a file")
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


def directory_problems(directory: Path, manifest: Manifest) -> Iterator[ShardProblem]:
    """Everything that is wrong with a directory of shards.

    Proven are the bytes of each shard, that the manifest agrees with itself and with the table
    of videos in each shard, and that what is read of a shard is what was once put into it.
    """
    yield from shard_problems(directory, manifest.shards)
    problems = [ShardProblem("manifest", MANIFEST_NAME, one) for one in manifest_problems(manifest)]
    yield from problems
    if problems:
        return  # which videos a shard should hold is not known
    videos = videos_by_shard(manifest)
    for shard in manifest.shards:
        path = directory / shard.file
        if not is_plain_file(path):
            continue
        found = list(shard_file_problems(path, manifest, shard, videos[shard.file]))
        yield from (ShardProblem("content", shard.file, words) for words in found)
        if not found:
            try:
                with open_shard(path) as file:
                    same = content_hash(file) == shard.content_hash
            except ManifestError as error:
                yield ShardProblem("content", shard.file, str(error))
                continue
            if not same:
                yield ShardProblem("content", shard.file, "does not fit its content_hash")


def read_checked(directory: Path) -> Manifest:
    """The manifest of a directory, compared with the tables inside its shards.

    Raises:
        ManifestError: If it cannot be read, or manifest and shards disagree.
    """
    manifest = read_manifest(directory)
    if words := check_against_shards(directory, manifest):
        logger.warning("%s", words)
    return manifest


def remove_strays(directory: Path, shards: Sequence[ShardRecord]) -> Iterator[Path]:
    """Delete shard files and leftovers that no record names; yields each. Folders stay."""
    known = {shard.file for shard in shards}
    for path in sorted([*directory.glob("shard-*.h5"), *directory.glob(".*.part")]):
        if path.name not in known and (path.is_symlink() or not path.is_dir()):
            path.unlink()
            yield path
