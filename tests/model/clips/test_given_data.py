"""What is opened together is whole, comes once, and knows its people."""

import shutil

import pytest

from mol_model.clips.shards import ShardSet
from mol_model.config.settings import ProtocolConfig
from mol_model.protocols.plan import plan_folds
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.manifest import Part
from mol_pipeline.contract.manifest_file import read_manifest, write_manifest
from tests.model.shard_fixture import write_shards


def refused(words, *directories):
    with pytest.raises(ConfigError, match=words):
        ShardSet(directories)
    with pytest.raises(ConfigError, match=words):
        plan_folds(directories, (), None, ProtocolConfig())


def test_shards_given_twice_are_refused_as_the_same_or_as_a_copy(tmp_path):
    one = write_shards(tmp_path / "one", subjects=2, frames=2, phases=1)
    refused("samm/006/006_1_0 and 9 more videos are given twice", one, one)
    shutil.copytree(one, tmp_path / "copy")
    refused("name each database once", one, tmp_path / "copy")
    other = write_shards(tmp_path / "other", subjects=2, frames=2, phases=1, first_subject=20)
    assert len(ShardSet([one, other]).videos) == 20


def test_a_part_of_a_build_is_not_taken_for_the_database(tmp_path):
    one = write_shards(tmp_path / "one", subjects=2, frames=2, phases=1)
    manifest = read_manifest(one)
    write_manifest(manifest.model_copy(update={"part": Part(number=1, of=4)}), one)
    refused(r"is part 1 of 4 of a build of samm.*join the parts with 'molprep merge'", one)
    write_manifest(manifest.model_copy(update={"part": Part(number=1, of=1)}), one)
    assert len(ShardSet([one]).videos) == 10


@pytest.mark.parametrize("names", [("Anna", "anna"), ("01", "1"), ("\u00fc", "u\u0308")])
def test_a_person_in_two_spellings_over_databases_is_refused(tmp_path, names):
    shards = [
        write_shards(tmp_path / str(k), names=(name, f"o{k}x"), frames=2, phases=1)
        for k, name in enumerate(names)
    ]
    refused("may be one person in two spellings", *shards)
