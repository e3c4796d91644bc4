"""A shard's bytes depend on its videos and on nothing else."""

import itertools
import os
import subprocess
import sys

import h5py
import numpy as np

from mol_pipeline.contract.files import hash_file
from mol_pipeline.contract.shard_layout import CLIP_ARRAYS, VIDEO_NUMBER_COLUMNS, VIDEO_TEXT_COLUMNS
from mol_pipeline.shards.files import PreparedVideo, write_shard


def prepared(seed, clips=2, frames=3):
    rng = np.random.default_rng(seed)
    return PreparedVideo(
        arrays={
            array.name: rng.integers(0, 100, (clips, *array.row_shape(frames))).astype(array.dtype)
            for array in CLIP_ARRAYS
            if array.name != "video"
        },
        identity={**dict.fromkeys(VIDEO_TEXT_COLUMNS, ""), "subject": "006", "clip": "ä"},
        key_frames=dict(zip(VIDEO_NUMBER_COLUMNS, itertools.count(1), strict=False)),
    )


def write(path):
    return write_shard(
        path, [prepared(0), prepared(1)], compression="blosc2-zstd", config_hash="c"
    ).sha256


def test_bytes_do_not_depend_on_when_datasets_are_closed(tmp_path, monkeypatch):
    """A sampling profiler (Dask runs one) holds frames of the stack, so datasets, open."""
    plain = write(tmp_path / "plain.h5")
    create, held = h5py.Group.create_dataset, []

    def create_and_hold(self, *args, **kwargs):
        held.append(create(self, *args, **kwargs))
        return held[-1]

    monkeypatch.setattr(h5py.Group, "create_dataset", create_and_hold)
    assert write(tmp_path / "held.h5") == plain
    assert len(held) > len(CLIP_ARRAYS)


def test_bytes_do_not_depend_on_the_compressors_threads(tmp_path):
    """As the environment of a batch job may ask for."""
    place = tmp_path / "threads.h5"
    subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; from pathlib import Path; "
            "from tests.pipeline.shards.test_shards import write; write(Path(sys.argv[1]))",
            str(place),
        ],
        env={**os.environ, "BLOSC_NTHREADS": "5"},
        check=True,
    )
    assert hash_file(place) == write(tmp_path / "plain.h5")


def test_two_writers_of_one_shard_do_not_share_a_temporary_file(tmp_path, monkeypatch):
    """A worker thought lost may still write while its task runs again elsewhere."""
    path, seen, fsync = tmp_path / "shard.h5", [], os.fsync

    def second_writer(descriptor):
        seen.extend(tmp_path.glob(".*.part"))
        if len(seen) == 1:
            write(path)
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", second_writer)
    digest = write(path)
    assert len(set(seen)) == 2
    monkeypatch.undo()
    assert write(tmp_path / "alone.h5") == digest
    with h5py.File(path) as file:
        assert len(file["video"]) == 4
    assert not list(tmp_path.glob(".*.part"))
