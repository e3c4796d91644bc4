"""Shards and a manifest as schema version 1 had them: no checksums, no hash of itself."""

import hashlib
import json
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from mol_pipeline.contract.agreement import videos_by_shard
from mol_pipeline.contract.files import hash_file
from mol_pipeline.contract.manifest_file import (
    HASH_FIELD,
    MANIFEST_NAME,
    read_manifest,
    write_manifest,
)
from mol_pipeline.contract.shard_layout import (
    CLIP_ARRAYS,
    KEY_FRAME_COLUMNS,
    VERSION_1_TEXT_COLUMNS,
    VIDEO_TABLE,
)
from mol_pipeline.contract.video_table import table_numbers, table_texts
from mol_pipeline.shards.opening import open_shard


def write_as_version_1(directory: Path) -> None:
    """Write the shards of a directory and its manifest as they were written before."""
    manifest = read_manifest(directory)
    videos = videos_by_shard(manifest)
    shards = []
    for shard in manifest.shards:
        path = directory / shard.file
        with open_shard(path) as file:
            arrays = {array.name: file[array.name][:] for array in CLIP_ARRAYS}
        content = _write(path, arrays, videos[shard.file], manifest.config_hash)
        shards.append(
            shard.model_copy(
                update={
                    "bytes": path.stat().st_size,
                    "sha256": hash_file(path),
                    "content_hash": content,
                }
            )
        )
    old = manifest.model_copy(update={"shards": tuple(shards), "schema_version": 1})
    write_manifest(old, directory)
    assert HASH_FIELD not in json.loads((directory / MANIFEST_NAME).read_bytes())


def _write(path, arrays, videos, config_hash):
    content = hashlib.sha256()
    with h5py.File(path, "w", libver="latest", track_order=False) as file:
        for name, data in arrays.items():
            chunks = (1, *data.shape[1:]) if data.ndim > 1 else data.shape
            large = data[0].nbytes >= 4096
            blosc = hdf5plugin.Blosc2(cname="zstd", clevel=1, filters=hdf5plugin.Blosc2.SHUFFLE)
            options = dict(blosc) if large else {}
            file.create_dataset(name, data=data, chunks=chunks, track_times=False, **options)
            content.update(name.encode() + data.tobytes())
        table = file.create_group(VIDEO_TABLE)
        for column in VERSION_1_TEXT_COLUMNS:
            values = [table_texts(video)[column] for video in videos]
            table.create_dataset(
                column, data=values, dtype=h5py.string_dtype("utf-8"), track_times=False
            )
            content.update("\0".join([column, *values]).encode())
        for column in KEY_FRAME_COLUMNS:
            numbers = np.array([table_numbers(video)[column] for video in videos], dtype="<i4")
            table.create_dataset(column, data=numbers, track_times=False)
            content.update(column.encode() + numbers.tobytes())
        file.attrs["schema_version"] = 1
        file.attrs["config_hash"] = config_hash
        file.attrs["content_hash"] = content.hexdigest()
    return content.hexdigest()
