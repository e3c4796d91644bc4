"""Shards of earlier schema versions are read, with a word about what they lack."""

import json

import pytest
import torch

from mol_model.clips.shards import ShardSet
from mol_pipeline.cli import main
from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.manifest import Manifest
from mol_pipeline.contract.manifest_file import (
    HASH_FIELD,
    MANIFEST_NAME,
    manifest_bytes,
    read_manifest,
    write_manifest,
)
from mol_pipeline.contract.shard_layout import KEY_FRAME_COLUMNS, VERSION_2_TEXT_COLUMNS
from mol_pipeline.contract.unit_notation import read_action_units
from mol_pipeline.shards import files
from mol_pipeline.shards.merge import merge
from mol_pipeline.shards.opening import open_shard
from tests.in_process import invoke
from tests.model.shard_fixture import write_shards
from tests.version_1 import write_as_version_1


@pytest.fixture
def new_and_old(tmp_path):
    pair = [
        write_shards(tmp_path / name, subjects=2, words=("Anger", "Ängst"), frames=8)
        for name in ("new", "old")
    ]
    write_as_version_1(pair[1])
    return pair


def test_old_shards_give_the_same_clips_and_it_is_said(new_and_old, caplog):
    new, old = map(ShardSet, ([one] for one in new_and_old))
    assert "1 of 1 shards carry no checksums" in caplog.text
    assert "the manifest carries no hash of itself" in caplog.text
    assert str(new_and_old[0]) not in caplog.text
    for one, other in zip(new.read([0, 3]).tensors(), old.read([0, 3]).tensors(), strict=True):
        assert torch.equal(one, other)
    verified = invoke(main, "verify", new_and_old[1])
    assert verified.exit_code == 0
    assert "carry no checksums" in verified.stderr
    assert invoke(main, "verify", new_and_old[0]).stderr == ""
    caplog.clear()
    assert invoke(main, "inspect", new_and_old[1]).exit_code == 0
    assert "carry no checksums" in caplog.text


def test_what_disagrees_in_old_shards_is_named(new_and_old):
    _, old = new_and_old
    path = old / MANIFEST_NAME
    document = json.loads(path.read_bytes())
    one, other = document["videos"][:2]
    one["raw_label"], one["labels"] = other["raw_label"], other["labels"]
    path.write_text(json.dumps(document))
    with pytest.raises(ManifestError, match="raw_label is 'Anger' in the shard"):
        ShardSet([old])
    document[HASH_FIELD] = "0" * 64
    path.write_text(json.dumps(document))
    with pytest.raises(ManifestError, match=HASH_FIELD):
        read_manifest(old)


def test_damage_of_an_old_shard_is_found_before_a_run(new_and_old):
    _, old = new_and_old
    path = old / "shard-00000.h5"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert invoke(main, "verify", old).exit_code == 4
    with pytest.raises(ManifestError, match=path.name):
        ShardSet([old]).check_bytes()


def test_merging_keeps_old_shards_and_says_so(new_and_old, tmp_path):
    _, old = new_and_old
    merged = merge([old], tmp_path / "merged")
    assert merged.schema_version == 1
    assert "carry no checksums" in invoke(main, "verify", tmp_path / "merged").stderr


def test_shards_of_version_2_are_read_and_written_again_as_they_are(tmp_path, monkeypatch):
    for name, value in (
        ("SCHEMA_VERSION", 2),
        ("VIDEO_TEXT_COLUMNS", VERSION_2_TEXT_COLUMNS),
        ("VIDEO_NUMBER_COLUMNS", KEY_FRAME_COLUMNS),
    ):
        monkeypatch.setattr(files, name, value)
    old = write_shards(tmp_path, subjects=2, words=("Anger",), action_units={"Anger": "4+7?"})
    document = json.loads((old / MANIFEST_NAME).read_bytes())
    document |= {"schema_version": 2}
    del document[HASH_FIELD]
    for video in document["videos"]:
        del video["action_units"]  # there was none
    manifest = Manifest.model_validate_json(json.dumps(document))
    written = write_manifest(manifest, old).read_bytes()
    assert b"complete" not in written

    monkeypatch.undo()
    assert manifest_bytes(read_manifest(old)) == written
    assert len(ShardSet([old], mapping="3").videos) == 2
    assert invoke(main, "verify", old).exit_code == 0
    (video, _) = read_manifest(old).videos
    assert video.action_units is None
    assert (video.known_units.value(4), video.known_units.value(7)) == (1, None)


def test_a_reading_that_was_changed_by_hand_is_found(tmp_path):
    directory = write_shards(tmp_path, words=("Anger",), action_units={"Anger": "4+7"})
    with open_shard(directory / "shard-00000.h5") as file:
        table = file["videos"]
        assert (table["au4"][0], table["au7"][0], table["au12"][0]) == (1, 1, 0)
        assert json.loads(table["action_units"][0])["coded"][1]["unit"] == 7
    manifest = read_manifest(directory)
    first, *rest = manifest.videos
    first = first.model_copy(update={"action_units": read_action_units("4")})
    write_manifest(manifest.model_copy(update={"videos": (first, *rest)}), directory)
    with pytest.raises(ManifestError, match="action_units is"):
        ShardSet([directory])
