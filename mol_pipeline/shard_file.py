"""Open shards for reading: our layout and nothing else, and not a byte of another file.

HDF5 lets a file point outside itself: external links, raw data in other files, virtual datasets,
filters that are loaded as plugins. A shard that was passed on by others could show any readable
file as pixels. So whatever `mol_pipeline.contract.shard_layout` does not name is refused before
anything is read. Both commands open shards here and nowhere else.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from mol_pipeline.contract.agreement import (
    ShardContents,
    manifest_problems,
    shard_disagreements,
    videos_by_shard,
)
from mol_pipeline.contract.files import is_plain_file
from mol_pipeline.contract.manifest import Manifest, ShardRecord, VideoRecord
from mol_pipeline.contract.shard_layout import (
    CLIP_ARRAYS,
    HDF5_DAMAGE,
    LONGEST_CLIP,
    READABLE_VERSIONS,
    VIDEO_NUMBER_COLUMNS,
    VIDEO_TABLE,
    ClipArray,
    text_columns,
)
from mol_pipeline.errors import ManifestError

logger = logging.getLogger(__name__)

COMPRESSORS = frozenset(
    {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, hdf5plugin.Blosc2.filter_id}
)
"""Filters of `ShardConfig.compression`; no other is ever called."""

FLETCHER32_BYTES = 4
"""Of the checksum at the end of a chunk."""

HEAP_REFERENCE_BYTES = 16
"""In place of a text of any length."""


def open_shard(path: Path) -> h5py.File:
    """Open a shard for reading, without a lock (network file systems have none).

    Raises:
        ManifestError: If it is no readable shard: a link, no HDF5, of another schema version,
            or anything but our layout.
    """
    if not is_plain_file(path):
        what = "is a link, folder or device, and is not followed" if path.exists() else "is absent"
        raise ManifestError(f"{path}: {what}; a shard is a file in its own directory")
    try:
        file = h5py.File(path, "r", locking=False)
    except HDF5_DAMAGE as error:
        raise ManifestError(
            f"{path}: cannot be opened as HDF5 ({error}); run molprep verify"
        ) from error
    try:
        problem = _layout_problem(file)
    except HDF5_DAMAGE as error:
        problem = f"cannot be read as a shard ({error})"
    if problem:
        file.close()
        raise ManifestError(f"{path}: {problem}; run molprep verify")
    return file


def _layout_problem(file: h5py.File) -> str | None:
    """The first thing by which an open file is no shard of ours."""
    version = file.attrs.get("schema_version")
    if not isinstance(version, int | np.integer) or version not in READABLE_VERSIONS:
        readable = " and ".join(map(str, READABLE_VERSIONS))
        return f"schema version {str(version)[:40]}, this program reads {readable}"
    if file.userblock_size:
        return "begins with a user block, which shards have not"
    columns = {*text_columns(int(version)), *VIDEO_NUMBER_COLUMNS}
    names = {array.name for array in CLIP_ARRAYS}
    problem = _member_problem(file, names, h5py.Dataset, {VIDEO_TABLE})
    problem = problem or _member_problem(file, {VIDEO_TABLE}, h5py.Group, names)
    problem = problem or _member_problem(file[VIDEO_TABLE], columns, h5py.Dataset, set())
    if problem:
        return problem
    shape = file["frames"].shape
    if len(shape) != 4 or not 2 <= shape[1] <= LONGEST_CLIP or not shape[0]:
        return f"frames: has the shape {shape}"
    rows, frames = shape[:2]
    for array in CLIP_ARRAYS:
        if problem := _clip_array_problem(file[array.name], array, rows, frames, int(version)):
            return f"{array.name}: {problem}"
    table = file[VIDEO_TABLE]
    videos = table["clip"].shape
    for column in columns:
        if problem := _column_problem(table[column], videos, rows, int(version)):
            return f"{VIDEO_TABLE}/{column}: {problem}"
    return None


def _member_problem(group: h5py.Group, names: set[str], kind: type, others: set[str]) -> str | None:
    """What is wrong with the names in a group, without following any."""
    found = set(group)
    for name in sorted(found ^ (names | others)):
        return f"{name!r} {'is no part of a shard' if name in found else 'is missing'}"
    for name in sorted(names):
        if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
            return f"{name}: is a link to elsewhere, which is not followed"
        if not isinstance(group[name], kind):
            return f"{name}: is no {kind.__name__.lower()}"
    return None


def _storage_problem(dataset: h5py.Dataset, compressed: bool, version: int) -> str | None:
    """What is wrong with where and how the bytes of a dataset lie."""
    made = dataset.id.get_create_plist()
    layout = made.get_layout()
    if made.get_external_count() or layout not in {h5py.h5d.CHUNKED, h5py.h5d.CONTIGUOUS}:
        return "its data lie in another file or dataset, which is not read"
    filters = [made.get_filter(number)[0] for number in range(made.get_nfilters())]
    foreign = set(filters) - {h5py.h5z.FILTER_FLETCHER32} - (COMPRESSORS if compressed else set())
    if foreign:
        return f"is stored through filter {min(foreign)}, which shards do not use"
    if version > 1 and h5py.h5z.FILTER_FLETCHER32 not in filters:
        return "carries no checksums"
    chunks = 1
    if layout == h5py.h5d.CHUNKED:
        chunks = dataset.shape[0] // dataset.chunks[0]
        if dataset.id.get_num_chunks() != chunks:
            return "parts of it are missing"
    if not COMPRESSORS & set(filters):
        checksums = FLETCHER32_BYTES * chunks * len(filters)
        text = h5py.check_string_dtype(dataset.dtype)
        loose = text is not None and text.length is None  # version 1: each text in HDF5's heap
        size = HEAP_REFERENCE_BYTES if loose else dataset.dtype.itemsize
        if dataset.id.get_storage_size() != dataset.size * size + checksums:
            return "parts of it are missing"
    return None


def _clip_array_problem(
    dataset: h5py.Dataset, array: ClipArray, rows: int, frames: int, version: int
) -> str | None:
    if dataset.dtype != array.dtype or dataset.shape != (rows, *array.row_shape(frames)):
        return f"is {dataset.dtype} {dataset.shape}, for {rows} clips of {frames} frames"
    if dataset.chunks != array.chunk_shape(rows, frames):
        return f"has chunks of {dataset.chunks}"
    return _storage_problem(dataset, array.is_compressed(frames), version)


def _column_problem(
    dataset: h5py.Dataset, videos: tuple[int, ...], rows: int, version: int
) -> str | None:
    if len(videos) != 1 or not 1 <= videos[0] <= rows or dataset.shape != videos:
        return f"has the shape {dataset.shape}, for {rows} clips"
    text = h5py.check_string_dtype(dataset.dtype)
    name = dataset.name.rpartition("/")[2]
    if name in VIDEO_NUMBER_COLUMNS:
        if dataset.dtype != np.dtype("<i4"):
            return f"is {dataset.dtype}"
    elif text is None or (text.length is None) != (version == 1):
        return f"is {dataset.dtype}, no text"
    if dataset.chunks != (None if version == 1 else videos):
        return f"has chunks of {dataset.chunks}"
    return _storage_problem(dataset, False, version)


def _attribute(file: h5py.File, name: str) -> str:
    value = file.attrs.get(name, "")
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else repr(value)[:40]


def read_contents(file: h5py.File) -> ShardContents:
    """What an open shard says about itself.

    Raises:
        ManifestError: If it cannot be read.
    """
    try:
        version = int(file.attrs["schema_version"])
        table = file[VIDEO_TABLE]
        return ShardContents(
            schema_version=version,
            config_hash=_attribute(file, "config_hash"),
            content_hash=_attribute(file, "content_hash"),
            frames_per_clip=file["frames"].shape[1],
            video_of_row=file["video"][:],
            face_status=file["face_status"][:],
            texts={name: _texts(table[name]) for name in text_columns(version)},
            numbers={name: table[name][:].tolist() for name in VIDEO_NUMBER_COLUMNS},
        )
    except HDF5_DAMAGE as error:
        raise ManifestError(
            f"{file.filename}: its table of videos cannot be read ({error}); run molprep verify"
        ) from error


def _texts(column: h5py.Dataset) -> list[str]:
    return [bytes(value).decode() for value in column[:]]


def shard_file_problems(
    path: Path, manifest: Manifest, shard: ShardRecord, videos: Sequence[VideoRecord]
) -> Iterator[str]:
    """Everything in which a shard's own tables differ from a manifest without problems."""
    try:
        with open_shard(path) as file:
            contents = read_contents(file)
    except ManifestError as error:
        yield str(error).removeprefix(f"{path}: ")
        return
    yield from shard_disagreements(manifest, shard, videos, contents)


def check_against_shards(directory: Path, manifest: Manifest) -> None:
    """Prove that a manifest agrees with itself and with the tables inside its shards.

    Every reader of shards calls this; bytes are not hashed (`shards.shard_problems` does it).

    Raises:
        ManifestError: If it does not; names the first difference and how many there are.
    """
    problems = list(manifest_problems(manifest))
    if not problems:
        problems = [
            f"{shard.file}: {words}"
            for shard, videos in _shards_with_videos(manifest)
            for words in shard_file_problems(directory / shard.file, manifest, shard, videos)
        ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ManifestError(
            f"{directory}: manifest and shards disagree: {problems[0]}{more}; "
            f"run 'molprep verify {directory}'"
        )


def _shards_with_videos(
    manifest: Manifest,
) -> Iterator[tuple[ShardRecord, Sequence[VideoRecord]]]:
    videos = videos_by_shard(manifest)
    for shard in manifest.shards:
        yield shard, videos[shard.file]


def old_shards(directory: Path, manifest: Manifest) -> str | None:
    """What to say where shards or the manifest are of version 1; None if none is."""
    old = 0
    for shard in manifest.shards:
        with open_shard(directory / shard.file) as file:
            old += int(file.attrs["schema_version"]) == 1
    parts = [f"{old} of {len(manifest.shards)} shards carry no checksums"] * bool(old)
    parts += ["the manifest carries no hash of itself"] * (manifest.schema_version == 1)
    if not parts:
        return None
    return (
        f"{directory}: {' and '.join(parts)} (schema version 1): what changes in them while they "
        "are read is not noticed; build them again to have it noticed"
    )
