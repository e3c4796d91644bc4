"""Builds on a real local Dask cluster, real Dlib, real TV-L1, real HDF5."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest
from distributed import LocalCluster

from mol_pipeline.config import BuildConfig, SamplingConfig, ShardConfig
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.manifest_file import MANIFEST_NAME, read_manifest
from mol_pipeline.contract.shard_layout import CLIP_ARRAYS
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.graph import ClusterOptions, build
from mol_pipeline.graph.workplace import Workplace
from mol_pipeline.kernels.geometry import apply_transform, eye_centres, invert_transform
from mol_pipeline.shards.files import shard_problems
from tests.fakes import FakeClip, write_samm_tree

CONFIG = BuildConfig(sampling=SamplingConfig(frames=2), shards=ShardConfig(videos_per_shard=2))
TWO = ClusterOptions(workers=2)
CLIPS = [
    FakeClip("006_1_1", 5, 6, 8, "Anger", shift_px=2),
    FakeClip("006_1_2", 9999, 10000, 10000, "Happiness"),
    FakeClip("007_1_1", 1, 1, 1, "Other"),
    FakeClip("008_1_1", 20, 21, 21, "Contempt"),
    FakeClip("009_1_1", 1, 2, 2, "Surprise", damaged=frozenset({2})),
    FakeClip("010_1_1", 1, 2, 2, "Surprise"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Root of a fake release with faces, and a finished build of it."""
    base = tmp_path_factory.mktemp("built")
    root = write_samm_tree(base / "root", CLIPS, real_faces=True)
    events = []
    result = build(Samm().index(root), CONFIG, base / "out", cluster=TWO, on_progress=events.append)
    return root, base / "out", result, events


def test_good_videos_are_stored_and_bad_ones_are_named(built):
    _, out, result, events = built
    manifest = read_manifest(out)
    assert manifest == result.manifest
    assert [video.clip for video in manifest.videos] == ["006_1_1", "006_1_2", "008_1_1", "010_1_1"]
    assert {one.clip: one.code for one in manifest.rejected} == {
        "007_1_1": "too-short",
        "009_1_1": "unreadable-frame",
    }
    (damaged,) = [one for one in manifest.rejected if one.code == "unreadable-frame"]
    assert damaged.message.startswith("SAMM/009/009_1_1/009_00002.jpg")
    assert events[-1].done == len(CLIPS)


def test_shards_follow_the_layout(built):
    _, out, result, _ = built
    video = result.manifest.videos[0]
    assert (video.shard, video.first_row, video.rows) == ("shard-00000.h5", 0, 2)
    with h5py.File(out / video.shard) as file:
        rows = len(file["video"])
        for array in CLIP_ARRAYS:
            assert file[array.name].dtype == array.dtype
            assert file[array.name].shape == (rows, *array.row_shape(2))
        assert file["frames"].chunks == (1, 2, 144, 144)
        np.testing.assert_array_equal(file["source_frames"][:2], [[5, 7], [6, 8]])
        assert file["videos/clip"].asstr()[:].tolist() == ["006_1_1", "006_1_2"]


def test_stored_transforms_bring_landmarks_back_and_level_the_eyes(built):
    _, out, result, _ = built
    with h5py.File(out / result.manifest.videos[0].shard) as file:
        landmarks, transforms = file["landmarks"][0], file["transforms"][0]
    for points, transform in zip(landmarks, transforms, strict=True):
        source = apply_transform(invert_transform(transform), points.astype(float))
        # Dlib gives whole pixels in the source image.
        assert np.abs(source - np.round(source)).max() < 0.01
        left, right = eye_centres(points)
        assert abs(left[1] - right[1]) < 1.0


def test_two_builds_with_other_workers_give_the_same_bytes(built, tmp_path):
    root, out, _, _ = built
    build(Samm().index(root), CONFIG, tmp_path / "again", cluster=ClusterOptions(workers=1))
    names = sorted(path.name for path in out.glob("*.*") if path.is_file() and path.name[0] != ".")
    assert MANIFEST_NAME in names and len(names) == 4
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name


def test_a_running_scheduler_gives_the_same_bytes_and_an_absent_one_is_named(built, tmp_path):
    root, out, _, _ = built
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        options = ClusterOptions(scheduler=cluster.scheduler_address)
        build(Samm().index(root), CONFIG, tmp_path / "out", cluster=options)
    for path in [*out.glob("*.h5"), out / MANIFEST_NAME]:
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes(), path.name
    with pytest.raises(ConfigError, match="no Dask scheduler answers there"):
        build(
            Samm().index(root),
            CONFIG,
            tmp_path / "none",
            cluster=ClusterOptions(scheduler="tcp://127.0.0.1:9"),
        )


def test_a_finished_build_is_verified_and_kept(built):
    root, out, _, _ = built
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.h5")}
    result = build(Samm().index(root), CONFIG, out, cluster=TWO)
    assert result.shards_written == 0 and result.shards_kept == 3
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.h5")} == before


def test_other_settings_or_source_files_are_noticed_and_never_mixed(built, tmp_path):
    root, out, _, _ = built
    other = BuildConfig(sampling=SamplingConfig(frames=4), shards=ShardConfig(videos_per_shard=2))
    with pytest.raises(ConfigError, match="the settings differ"):
        build(Samm().index(root), other, out, cluster=TWO)

    changed = tmp_path / "root"
    shutil.copytree(root, changed)
    (changed / "SAMM/006/006_1_1/006_00005.jpg").write_bytes(b"shorter")
    with pytest.raises(ConfigError, match="the source files"):
        build(Samm().index(changed), CONFIG, out, cluster=TWO)


def test_damage_is_found_and_only_the_damaged_shard_is_made_again(built, tmp_path):
    root, out, result, _ = built
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    first, second, third = (copy / shard.file for shard in result.manifest.shards)
    raw = bytearray(third.read_bytes())
    raw[len(raw) // 2] ^= 1
    third.write_bytes(raw)
    kept = [first.stat().st_mtime_ns, second.stat().st_mtime_ns]

    assert [p.kind for p in shard_problems(copy, result.manifest.shards)] == ["bytes"]
    build(Samm().index(root), CONFIG, copy, cluster=TWO)

    assert list(shard_problems(copy, result.manifest.shards)) == []
    assert (copy / MANIFEST_NAME).read_bytes() == (out / MANIFEST_NAME).read_bytes()
    assert [first.stat().st_mtime_ns, second.stat().st_mtime_ns] == kept


def test_an_interrupted_build_continues_to_the_same_bytes(built, tmp_path):
    root, out, _, _ = built

    class Stop(BaseException):
        pass

    def stop_early(progress):
        if progress.done == 3:
            raise Stop

    with pytest.raises(Stop):
        build(Samm().index(root), CONFIG, tmp_path, cluster=TWO, on_progress=stop_early)
    assert not (tmp_path / MANIFEST_NAME).exists()
    build(Samm().index(root), CONFIG, tmp_path, cluster=TWO)
    for path in [*out.glob("*.h5"), out / MANIFEST_NAME]:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert not (tmp_path / ".build").exists()


def test_missing_extra_and_truncated_shards_are_told_apart(built, tmp_path):
    _, out, result, _ = built
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    names = [shard.file for shard in result.manifest.shards]
    (copy / names[0]).unlink()
    os.truncate(copy / names[1], 100)
    (copy / "shard-00099.h5").touch()
    kinds = {p.where: p.kind for p in shard_problems(copy, result.manifest.shards)}
    assert kinds == {names[0]: "missing", names[1]: "size", "shard-00099.h5": "extra"}


def test_a_directory_with_something_else_or_a_second_build_is_refused(built, tmp_path):
    root, _, _, _ = built
    (tmp_path / "letter.txt").touch()
    with pytest.raises(ConfigError, match="in use by something else"):
        build(Samm().index(root), CONFIG, tmp_path, cluster=TWO)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]

    out = tmp_path / "out"
    with Workplace(out).locked(), pytest.raises(ConfigError, match="another build is running"):
        build(Samm().index(root), CONFIG, out, cluster=TWO)


def test_manifest_holds_no_path_or_name_of_the_machine(built):
    root, out, _, _ = built
    text = (out / MANIFEST_NAME).read_text()
    assert str(root) not in text and str(out) not in text and os.uname().nodename not in text
    assert json.loads(text)["provenance"]["annotation_file"] == "SAMM_Micro_FACS_Codes_v2.xlsx"
