"""Damage, edits and changes of shards and manifests: named by verify, never trained on.

MOL_TEST_FLIPS=300 for the long version.
"""

import contextlib
import json
import os
import pickle
import random
import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from mol_model.clips.shards import ShardSet
from mol_model.clips.source import open_source
from mol_pipeline.contract import shard_guard
from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.files import hash_document, hash_file
from mol_pipeline.contract.manifest import Manifest
from mol_pipeline.contract.manifest_file import (
    HASH_FIELD,
    MANIFEST_NAME,
    manifest_bytes,
    read_manifest,
    write_manifest,
)
from mol_pipeline.contract.shard_layout import CLIP_ARRAYS, HDF5_DAMAGE, SCHEMA_VERSION
from mol_pipeline.shards.files import directory_problems, read_checked
from mol_pipeline.shards.opening import open_shard, read_contents
from tests.model.shard_fixture import write_shards
from tests.tally import tally

FLIPS = int(os.environ.get("MOL_TEST_FLIPS", "9"))
"""Damages of each kind of file, over the three ways of compression."""


@pytest.fixture(scope="module", params=["blosc2-zstd", "gzip", "none"])
def good(request, tmp_path_factory):
    base = tmp_path_factory.mktemp(request.param)
    return write_shards(
        base / "good", subjects=2, phases=1, frames=2, compression=request.param, synthetic=False
    )


@pytest.fixture
def shards(tmp_path):
    return write_shards(tmp_path / "shards", subjects=2, phases=2, frames=2)


def damaged(content, chance):
    """The bytes of a file after one of the accidents that happen to files."""
    data = bytearray(content)
    length = len(data)
    at = chance.randrange(length)
    size = min(chance.choice([1, 16, 512, 4096]), length - at)
    other = chance.randrange(length - size + 1)
    kind = chance.choice(["bit", "bit", "byte", "byte", "cut", "swap", "tail", "zeros", "drop"])
    if kind == "bit":
        data[at] ^= 1 << chance.randrange(8)
    elif kind == "byte":
        data[at] ^= chance.randrange(1, 256)
    elif kind == "cut":
        del data[at:]
    elif kind == "swap":
        data[at : at + size], data[other : other + size] = (
            data[other : other + size],
            data[at : at + size],
        )
    elif kind == "tail":
        data += data[-size:]
    elif kind == "zeros":
        data[at : at + size] = bytes(size)
    else:
        del data[at : at + size]
    return bytes(data)


def damages(content, count, seed):
    """So many different contents that are not the good one."""
    chance = random.Random(seed)
    while count:
        bad = damaged(content, chance)
        if bad != content:
            yield bad
            count -= 1


def contents(path):
    """All that a reader gets of a shard."""
    with open_shard(path) as file:
        table = read_contents(file)
        arrays = {array.name: file[array.name][:].tobytes() for array in CLIP_ARRAYS}
    return arrays, table.texts, table.numbers, table.config_hash, table.content_hash


def is_named_everywhere(directory, name):
    """Whether verify and a training run name what is wrong."""
    try:
        manifest = read_manifest(directory)
        found = [one.where for one in directory_problems(directory, manifest)]
    except ManifestError as error:
        found = [str(error)]
    assert found and all(len(one) < 1500 and "\x1b" not in one for one in found)
    with pytest.raises(ManifestError, match=name):
        ShardSet([directory]).check_bytes()


def test_damaged_shards_are_named_and_not_trained_on(good, tmp_path):
    directory = shutil.copytree(good, tmp_path / "copy")
    path = directory / "shard-00000.h5"
    with tally("damaged shards") as tried:
        for bad in damages(path.read_bytes(), FLIPS // 3, seed=1):
            path.write_bytes(bad)
            with tried():
                is_named_everywhere(directory, path.name)


def test_a_shard_that_is_damaged_under_a_run_gives_no_other_clips(good, tmp_path):
    """Fletcher32 and HDF5's own checksums: without the SHA-256 that a run begins with."""
    path = tmp_path / "shard-00000.h5"
    content = (good / path.name).read_bytes()
    path.write_bytes(content)
    expected = contents(path)
    with tally("shards damaged under a reader") as tried:
        for bad in damages(content, FLIPS // 3, seed=2):
            path.write_bytes(bad)
            with tried(), contextlib.suppress(ManifestError, *HDF5_DAMAGE):
                if contents(path) != expected:
                    raise AssertionError("other clips were read without a word")


def test_damaged_manifests_are_named_and_not_trained_on(good, tmp_path):
    directory = shutil.copytree(good, tmp_path / "copy")
    path = directory / MANIFEST_NAME
    with tally("damaged manifests") as tried:
        for bad in damages(path.read_bytes(), FLIPS // 3, seed=3):
            path.write_bytes(bad)
            with tried():
                is_named_everywhere(directory, str(directory))


@dataclass(frozen=True)
class Edit:
    """A change of the document by hand."""

    name: str
    change: object

    def __str__(self):
        return self.name


def first_video(**values):
    return lambda document: document["videos"][0].update(values)


def swap_videos(*fields):
    def change(document):
        one, other = document["videos"][0], document["videos"][-1]
        for field in fields:
            one[field], other[field] = other[field], one[field]

    return change


def key_frame(**values):
    return lambda document: document["videos"][0]["key_frames"].update(values)


def swap_classes(document):
    document["mappings"][0]["classes"].reverse()


def drop_video(document):
    document["videos"].pop()


def drop_video_and_count(document):
    document["videos"].pop()
    document["shards"][0]["videos"] -= 1


def drop_last_video_wholly(document):
    gone = document["videos"].pop()
    document["shards"][0]["videos"] -= 1
    document["shards"][0]["clips"] -= gone["rows"]


def repeat_video(document):
    document["videos"].append(document["videos"][-1])


def with_config(document):
    document["config"] = {"sampling": {"frames": 8}}


def with_config_and_hash(document):
    with_config(document)
    document["config_hash"] = hash_document(document["config"])


def relabel(document):
    document["videos"][0]["labels"] = document["videos"][1]["labels"]


def relabel_consistently(document):
    relabel(document)
    document["videos"][0]["raw_label"] = document["videos"][1]["raw_label"]


def shard(**values):
    return lambda document: document["shards"][0].update(values)


EDITS = [
    Edit("labels", relabel),
    Edit("labels and raw label", relabel_consistently),
    Edit("no labels", first_video(labels={})),
    Edit("unknown class", first_video(labels={"5": "joy"})),
    Edit("raw label", first_video(raw_label="Happiness")),
    Edit("labels exchanged", swap_videos("labels", "raw_label")),
    Edit("subjects exchanged", swap_videos("subject")),
    Edit("people exchanged", swap_videos("person")),
    Edit("another person", first_video(person="samm/999")),
    Edit("clips exchanged", swap_videos("clip", "subject", "person")),
    Edit("whole records exchanged", swap_videos("clip", "subject", "person", "labels")),
    Edit("annotations", first_video(annotations={"objective_class": "I"})),
    Edit("database", first_video(database="../../x")),
    Edit("database of all", lambda document: document.update(database="casme2")),
    Edit("first row", first_video(first_row=2)),
    Edit("first rows exchanged", swap_videos("first_row")),
    Edit("rows", first_video(rows=999)),
    Edit("too many rows", first_video(rows=10**30)),
    Edit("fewer rows", first_video(rows=1)),
    Edit("order of videos", lambda document: document["videos"].reverse()),
    Edit("shard of a video", first_video(shard="shard-00001.h5")),
    Edit("shard elsewhere", first_video(shard="../shard-00000.h5")),
    Edit("absolute shard", first_video(shard="/etc/passwd")),
    Edit("backslash shard", first_video(shard="..\\shard-00000.h5")),
    Edit("file elsewhere", shard(file="../shard-00000.h5")),
    Edit("absolute file", shard(file="/etc/passwd")),
    Edit("clips", shard(clips=999)),
    Edit("videos", shard(videos=3)),
    Edit("bytes", shard(bytes=10**12)),
    Edit("sha256", shard(sha256="0" * 64)),
    Edit("content hash", shard(content_hash="0" * 64)),
    Edit("shard listed twice", lambda document: document["shards"].append(document["shards"][0])),
    Edit("no shards", lambda document: document.update(shards=[])),
    Edit("no videos", lambda document: document.update(videos=[])),
    Edit("video dropped", drop_video),
    Edit("video dropped and counted", drop_video_and_count),
    Edit("video dropped with its rows", drop_last_video_wholly),
    Edit("video repeated", repeat_video),
    Edit("onset", key_frame(onset=5)),
    Edit("no apex", key_frame(apex=None)),
    Edit("apex source", key_frame(apex_source="apex")),
    Edit("face frames", first_video(face_frames={"detected": 3, "tracked": 1})),
    Edit("frame times", first_video(frame_times=[0.0])),
    Edit("settings", with_config),
    Edit("settings and their hash", with_config_and_hash),
    Edit("hash of the settings", lambda document: document.update(config_hash="0" * 64)),
    Edit("frames of a clip", lambda document: document.update(frames_per_clip=3)),
    Edit("order of classes", swap_classes),
    Edit("mapping", lambda document: document["mappings"][0].update(mapping="x")),
    Edit("no mappings", lambda document: document.update(mappings=[])),
    Edit("escape codes", first_video(clip="\x1b[2J" + "x" * 10_000)),
    Edit("part", lambda document: document.update(part={"number": 3, "of": 2})),
]
"""What somebody may write into a manifest, making its hash anew."""


def seal(document, path):
    """Write a document as molprep would, its hash included."""
    document.pop(HASH_FIELD, None)
    document[HASH_FIELD] = hash_document(document)
    path.write_text(
        json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def test_sealing_is_what_molprep_does(shards):
    path = shards / MANIFEST_NAME
    before = path.read_bytes()
    seal(json.loads(before), path)
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    """A directory whose manifest every test of edits puts back."""
    return write_shards(tmp_path_factory.mktemp("edited"), subjects=2, phases=2, frames=2)


@pytest.fixture
def document(edited):
    path = edited / MANIFEST_NAME
    before = path.read_bytes()
    yield json.loads(before)
    path.write_bytes(before)


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_an_edited_manifest_is_named(edited, document, edit):
    """With its old hash and with one made anew."""
    path = edited / MANIFEST_NAME
    edit.change(document)
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    with tally("manifests edited by hand") as tried, tried(), pytest.raises(ManifestError):
        read_manifest(edited)
    seal(document, path)
    with tally("manifests edited by hand, their hash made anew") as tried, tried():
        is_named_everywhere(edited, str(edited))


def two_shards(directory):
    """A directory of two shards, of other people each."""
    one = write_shards(directory, subjects=1, phases=1, frames=2)
    two = write_shards(directory / "two", subjects=1, phases=1, frames=2, first_subject=7)
    shutil.move(two / "shard-00000.h5", one / "shard-00001.h5")
    first, second = read_manifest(one), read_manifest(two)
    shutil.rmtree(two)
    record = second.shards[0].model_copy(update={"file": "shard-00001.h5"})
    videos = [video.model_copy(update={"shard": record.file}) for video in second.videos]
    manifest = first.model_copy(
        update={"shards": (*first.shards, record), "videos": (*first.videos, *videos)}
    )
    write_manifest(manifest, one)
    read_checked(one)
    return one


def test_shards_exchanged_with_their_records_are_named(tmp_path):
    directory = two_shards(tmp_path / "shards")
    one, two = directory / "shard-00000.h5", directory / "shard-00001.h5"
    one.rename(tmp_path / "x")
    two.rename(one)
    (tmp_path / "x").rename(two)
    path = directory / MANIFEST_NAME
    document = json.loads(path.read_text())
    first, second = document["shards"]
    first["file"], second["file"] = second["file"], first["file"]
    seal(document, path)
    is_named_everywhere(directory, "shard-0000")


def test_the_bytes_are_proven_once_and_by_nobody_else(shards, monkeypatch):
    hashed = []
    monkeypatch.setattr(
        shard_guard, "hash_file", lambda path: hashed.append(path.name) or hash_file(path)
    )
    data = ShardSet([shards])
    source = open_source(data, "cpu", "stream")
    assert hashed == ["shard-00000.h5"]
    assert source.checked.startswith("checked ") and "1 shards have the SHA-256" in source.checked
    assert open_source(data, "cpu", "stream").checked is None
    in_a_fold = pickle.loads(pickle.dumps(data))
    in_a_fold.read([0])
    assert open_source(in_a_fold, "cpu", "stream").checked is None
    assert len(hashed) == 1


def test_of_the_processes_of_torchrun_one_on_each_machine_proves_the_bytes(shards, monkeypatch):
    hashed = []
    monkeypatch.setattr(
        shard_guard, "hash_file", lambda path: hashed.append(path.name) or hash_file(path)
    )
    monkeypatch.setenv("WORLD_SIZE", "4")
    for rank, local in ((0, 0), (1, 1), (2, 0), (3, 1)):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("LOCAL_RANK", str(local))
        data = ShardSet([shards])
        assert (data.check_bytes() is not None) is (local == 0)
        data.read([0])
    assert len(hashed) == 2


def test_a_clip_is_read_from_no_shard_that_is_not_proven(shards):
    path = shards / "shard-00000.h5"
    data = ShardSet([shards])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=path.name):
        data.read([0])


@pytest.mark.parametrize("what", ["bit", "other shard", "gone", "link"])
def test_a_shard_that_changes_under_a_run_is_named(shards, tmp_path, what):
    path = shards / "shard-00000.h5"
    data = ShardSet([shards])
    data.check_bytes()
    data.read([0], keep=False)
    if what == "bit":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif what == "other shard":
        other = write_shards(tmp_path / "b", subjects=2, phases=2, frames=2, first_subject=8)
        shutil.copyfile(other / path.name, tmp_path / "new")
        (tmp_path / "new").replace(path)
    else:
        path.rename(tmp_path / "moved")
        if what == "link":
            path.symlink_to(shutil.copyfile(tmp_path / "moved", tmp_path / "other"))
            (tmp_path / "other").write_bytes(b"x")
    for use in (lambda: data.read([1]), data.check_unchanged):
        with pytest.raises(ManifestError, match=path.name):
            use()


def test_a_copy_of_the_same_bytes_is_no_change(shards, tmp_path):
    path = shards / "shard-00000.h5"
    data = ShardSet([shards])
    data.check_bytes()
    shutil.copyfile(path, tmp_path / "new")
    (tmp_path / "new").replace(path)
    data.check_unchanged()
    assert np.array_equal(data.read([1])["frames"], ShardSet([shards]).read([1])["frames"])


def test_a_manifest_of_version_2_cannot_pass_as_an_old_one(shards):
    path = shards / MANIFEST_NAME
    path.write_text(
        path.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 1')
    )
    with pytest.raises(ManifestError, match=HASH_FIELD):
        read_manifest(shards)


def test_the_hash_is_about_everything_else(shards):
    document = json.loads((shards / MANIFEST_NAME).read_bytes())
    stored = document.pop(HASH_FIELD)
    assert stored == hash_document(document)
    assert Manifest.model_validate_json(json.dumps(document)) == read_manifest(shards)
    assert manifest_bytes(read_manifest(shards)) == (shards / MANIFEST_NAME).read_bytes()
