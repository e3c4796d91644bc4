"""Long videos: what does not fit into memory lies on disk, and nobody sees a difference."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mol_pipeline.config import BuildConfig, DetectionConfig, FlowConfig, SamplingConfig
from mol_pipeline.contract.shard_layout import CLIP_ARRAYS
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.graph.run_folder import RunFolder
from mol_pipeline.shards import clip_rows
from mol_pipeline.shards.clip_rows import (
    RowFile,
    StoredRows,
    collected,
    is_large,
    joined,
    read_npz,
    write_npz,
)
from mol_pipeline.shards.files import write_shard
from mol_pipeline.stages.video import prepare_video
from tests.fakes import FakeClip, write_samm_tree
from tests.pipeline.shards.test_shards import prepared

TYPES = st.sampled_from(["u1", "<f2", "<f4", "<f8", "<i4"])


@pytest.fixture
def spilling(monkeypatch):
    """Everything that has more than some bytes goes to disk."""
    monkeypatch.setattr(clip_rows, "SPILL_BYTES", 1000)


@given(rows=st.integers(0, 5), dtype=TYPES, shape=st.lists(st.integers(1, 4), max_size=3))
def test_rows_on_disk_are_the_array(tmp_path_factory, rows, dtype, shape):
    rng = np.random.default_rng(rows)
    array = rng.integers(0, 100, (rows, *shape)).astype(dtype)
    file = RowFile(tuple(shape), dtype)
    for row in array:
        file.append(row)
    assert (file.shape, file.dtype, len(file)) == (array.shape, array.dtype, rows)
    if rows:
        np.testing.assert_array_equal(np.asarray(file), array)
        np.testing.assert_array_equal(file.row(rows - 1), array[-1])
    path = tmp_path_factory.getbasetemp() / "rows.npz"
    with path.open("wb") as place:
        write_npz(place, {"file": file, "array": array})
    with np.load(path) as found:
        np.testing.assert_array_equal(found["file"], array)
        np.testing.assert_array_equal(found["array"], array)
    stored = StoredRows(path, "file")
    assert (stored.shape, stored.dtype) == (array.shape, array.dtype)
    for one, other in zip(stored, array, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_large_lies_on_disk(spilling, tmp_path):
    assert is_large((2, 600), np.uint8) and not is_large((2, 500), np.uint8)
    rows = [np.full(600, n, np.uint8) for n in range(4)]
    parts = [collected(iter(rows[:2]), (2, 600), np.uint8), np.stack(rows[2:])]
    whole = joined(parts)
    assert isinstance(parts[0], RowFile) and isinstance(whole, RowFile)
    np.testing.assert_array_equal(np.asarray(whole), np.stack(rows))
    with (tmp_path / "a.npz").open("wb") as place:
        write_npz(place, {"large": whole, "small": np.arange(3)})
    found = read_npz(tmp_path / "a.npz")
    assert isinstance(found["large"], StoredRows) and isinstance(found["small"], np.ndarray)


def test_a_row_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        RowFile((2, 3), np.uint8).append(np.zeros((3, 2), np.uint8))


@pytest.mark.parametrize("no_face", ["reject", "interpolate"])
def test_shards_of_long_videos_have_the_bytes_of_short_ones(tmp_path, monkeypatch, no_face):
    """From frames to the shard, through the folder of a run; with frames without a face."""
    write_samm_tree(tmp_path, [FakeClip("006_1_1", 1, 3, 6, shift_px=1)], real_faces=True)
    (video,) = Samm().index(tmp_path).videos
    if no_face == "interpolate":
        path = tmp_path / video.folder / video.frames[2][1]
        path.write_bytes((tmp_path / video.folder / video.frames[3][1]).read_bytes())
        import cv2

        cv2.imwrite(str(path), np.full((240, 240), 128, np.uint8))
    config = BuildConfig(
        sampling=SamplingConfig(frames=3),
        detection=DetectionConfig(no_face=no_face),
        flow=FlowConfig(warps=1, scales=2),
    )
    hashes = []
    for limit in (clip_rows.SPILL_BYTES, 1000):
        monkeypatch.setattr(clip_rows, "SPILL_BYTES", limit)
        place = tmp_path / f"run-{limit}"
        place.mkdir()
        folder = RunFolder(place, "state", "run")
        made = prepare_video(video, tmp_path, config, scratch=place)
        assert isinstance(made.arrays["flow"], RowFile) == (limit == 1000)
        outcome = folder.keep(0, video.key, made, numbers="numbers", flow_backend="numba")
        back = folder.prepared(outcome)
        assert isinstance(back.arrays["flow"], StoredRows) == (limit == 1000)
        record = write_shard(
            place / "shard-00000.h5", [back], compression="gzip", config_hash="0" * 64
        )
        hashes.append(record.sha256)
    assert hashes[0] == hashes[1]


def test_a_long_video_takes_the_memory_of_a_clip(spilling, tmp_path):
    """Python's and NumPy's memory, from the rows to the shard: 40 clips take what 10 do."""

    def peak(clips):
        row = prepared(0, clips=1, frames=4).arrays
        tracemalloc.start()
        arrays = {
            array.name: collected(
                (row[array.name][0] for _ in range(clips)),
                (clips, *array.row_shape(4)),
                array.dtype,
            )
            for array in CLIP_ARRAYS
            if array.name != "video"
        }
        path = tmp_path / f"{clips}.npz"
        with path.open("wb") as place:
            write_npz(place, arrays)
        one = prepared(0, clips=1, frames=4)
        video = type(one)(read_npz(path), one.identity, one.key_frames)
        write_shard(tmp_path / f"{clips}.h5", [video], compression="none", config_hash="0" * 64)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    clip = 3 * 2 * 144 * 144 * 2 + 4 * 144 * 144
    peak(2)  # imports
    assert peak(40) - peak(10) < clip
