"""Open shards for reading: our layout and nothing else, and not a byte of another file.

HDF5 lets a file point outside itself: external links, raw data in other files, virtual datasets,
filters that are loaded as plugins. A shard that was passed on by others could show any readable
file as pixels. So whatever `mol_pipeline.contract.shard_layout` does not name is refused before
anything is read. Both commands open shards here and nowhere else.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from mol_pipeline.contract.agreement import (
    ShardContents,
    check_manifest,
    refuse,
    shard_disagreements,
    videos_by_shard,
)
from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.files import is_plain_file
from mol_pipeline.contract.manifest import Manifest, ShardRecord, VideoRecord
from mol_pipeline.contract.shard_layout import (
    HDF5_DAMAGE,
    KEY_ARRAY_NAMES,
    LONGEST_CLIP,
    READABLE_VERSIONS,
    VIDEO_NUMBER_COLUMNS,
    VIDEO_TABLE,
    ClipArray,
    arrays_of_version,
    number_columns,
    text_columns,
)

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
        _check_layout(file)
    except HDF5_DAMAGE as error:  # of which a foreign layout is one
        file.close()
        what = str(error) if isinstance(error, _Foreign) else f"cannot be read as a shard ({error})"
        raise ManifestError(f"{path}: {what}; run molprep verify") from error
    return file


class _Foreign(ValueError):
    """The first thing by which an open file is no shard of ours."""


def _check_layout(file: h5py.File) -> None:
    version = file.attrs.get("schema_version")
    if not isinstance(version, int | np.integer) or version not in READABLE_VERSIONS:
        readable = " and ".join(map(str, READABLE_VERSIONS))
        raise _Foreign(f"schema version {str(version)[:40]}, this program reads {readable}")
    if file.userblock_size:
        raise _Foreign("begins with a user block, which shards have not")
    known = arrays_of_version(int(version))
    _check_names(file, {*(array.name for array in known), VIDEO_TABLE})
    table = file[VIDEO_TABLE]
    if not isinstance(table, h5py.Group):
        raise _Foreign(f"{VIDEO_TABLE}: is no group")
    columns = (*text_columns(int(version)), *number_columns(int(version)))
    _check_names(table, set(columns))
    shape = _dataset(file, "frames").shape
    if len(shape) != 4 or not 2 <= shape[1] <= LONGEST_CLIP or not shape[0]:
        raise _Foreign(f"frames: has the shape {shape}")
    rows, frames = shape[:2]
    videos = _dataset(table, "clip").shape
    if len(videos) != 1 or not 1 <= videos[0] <= rows:
        raise _Foreign(f"{VIDEO_TABLE}: has the shape {videos}, for {rows} clips")
    for array in known:
        count = videos[0] if array.name in KEY_ARRAY_NAMES else rows
        _check_clip_array(_dataset(file, array.name), array, count, frames, int(version))
    for column in columns:
        _check_column(_dataset(table, column), column, videos, int(version))


def _check_names(group: h5py.Group, names: set[str]) -> None:
    """Refuse other names, and links to elsewhere, without following any."""
    found = set(group)
    for name in sorted(found ^ names):
        raise _Foreign(f"{name!r} {'is no part of a shard' if name in found else 'is missing'}")
    for name in names:
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise _Foreign(f"{name}: is a link to elsewhere, which is not followed")


def _dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    found = group[name]
    if not isinstance(found, h5py.Dataset):
        raise _Foreign(f"{name}: is no dataset")
    return found


def _check_storage(
    name: str, dataset: h5py.Dataset, dtype: np.dtype, *, compressed: bool, version: int
) -> None:
    """Refuse a dataset whose bytes lie elsewhere, are not all there, or are not in our form."""
    made = dataset.id.get_create_plist()
    layout = made.get_layout()
    if made.get_external_count() or layout not in {h5py.h5d.CHUNKED, h5py.h5d.CONTIGUOUS}:
        raise _Foreign(f"{name}: its data lie in another file or dataset, which is not read")
    filters = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
    foreign = filters - {h5py.h5z.FILTER_FLETCHER32} - (COMPRESSORS if compressed else set())
    if foreign:
        raise _Foreign(f"{name}: is stored through filter {min(foreign)}, which shards do not use")
    if version > 1 and h5py.h5z.FILTER_FLETCHER32 not in filters:
        raise _Foreign(f"{name}: carries no checksums")
    chunks = 1
    if layout == h5py.h5d.CHUNKED:
        chunks = dataset.shape[0] // made.get_chunk()[0]
        if dataset.id.get_num_chunks() != chunks:
            raise _Foreign(f"{name}: parts of it are missing")
    if not COMPRESSORS & filters:
        text = h5py.check_string_dtype(dtype)
        loose = text is not None and text.length is None  # version 1: each text in HDF5's heap
        size = HEAP_REFERENCE_BYTES if loose else dtype.itemsize
        checksums = FLETCHER32_BYTES * chunks * len(filters)
        if dataset.id.get_storage_size() != math.prod(dataset.shape) * size + checksums:
            raise _Foreign(f"{name}: parts of it are missing")


def _check_clip_array(
    dataset: h5py.Dataset, array: ClipArray, rows: int, frames: int, version: int
) -> None:
    dtype, shape = dataset.dtype, dataset.shape
    if dtype != array.dtype or shape != (rows, *array.row_shape(frames)):
        raise _Foreign(f"{array.name}: is {dtype} {shape}, for {rows} clips of {frames} frames")
    if dataset.chunks != array.chunk_shape(rows, frames):
        raise _Foreign(f"{array.name}: has chunks of {dataset.chunks}")
    _check_storage(
        array.name, dataset, dtype, compressed=array.is_compressed(frames), version=version
    )


def _check_column(dataset: h5py.Dataset, name: str, videos: tuple[int, ...], version: int) -> None:
    dtype = dataset.dtype
    text = h5py.check_string_dtype(dtype)
    if dataset.shape != videos:
        raise _Foreign(f"{VIDEO_TABLE}/{name}: has the shape {dataset.shape}, not {videos}")
    if name in VIDEO_NUMBER_COLUMNS:
        fits = dtype == np.dtype("<i4")
    else:
        fits = text is not None and (text.length is None) == (version == 1)
    if not fits:
        raise _Foreign(f"{VIDEO_TABLE}/{name}: is {dtype}")
    if dataset.chunks != (None if version == 1 else videos):
        raise _Foreign(f"{VIDEO_TABLE}/{name}: has chunks of {dataset.chunks}")
    _check_storage(f"{VIDEO_TABLE}/{name}", dataset, dtype, compressed=False, version=version)


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
            numbers={name: table[name][:].tolist() for name in number_columns(version)},
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


def check_against_shards(directory: Path, manifest: Manifest) -> str | None:
    """Prove that a manifest agrees with itself and with the tables inside its shards.

    Every reader of shards calls this; bytes are not hashed (`shards.shard_problems` does it).

    Returns:
        What to say where shards or the manifest are of version 1; None if none is.

    Raises:
        ManifestError: If it does not; names the first difference and how many there are.
    """
    check_manifest(directory, manifest)
    videos = videos_by_shard(manifest)
    problems: list[str] = []
    old = 0
    for shard in manifest.shards:
        with open_shard(directory / shard.file) as file:
            contents = read_contents(file)
        old += contents.schema_version == 1
        found = shard_disagreements(manifest, shard, videos[shard.file], contents)
        problems += [f"{shard.file}: {words}" for words in found]
    refuse(directory, problems)
    parts = [f"{old} of {len(manifest.shards)} shards carry no checksums"] * bool(old)
    parts += ["the manifest carries no hash of itself"] * (manifest.schema_version == 1)
    if not parts:
        return None
    return (
        f"{directory}: {' and '.join(parts)} (schema version 1): what changes in them while they "
        "are read is not noticed; build them again to have it noticed"
    )
