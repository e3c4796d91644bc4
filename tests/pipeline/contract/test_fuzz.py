"""Random damage ends in a named error, or in nothing: never a crash, never a path outside."""

import contextlib
import json

import h5py
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mol_model.clips.shards import ShardSet
from mol_pipeline.contract.errors import MolError
from mol_pipeline.contract.index_document import read_index
from mol_pipeline.contract.manifest_file import MANIFEST_NAME, read_manifest
from mol_pipeline.databases.adapters.affwild2 import read_labels
from mol_pipeline.databases.registry import ADAPTERS
from mol_pipeline.shards.files import open_shard, shard_problems
from tests.databases.releases import examples
from tests.model.shard_fixture import write_shards

QUICK = settings(
    max_examples=40,
    deadline=5000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CELLS = st.one_of(
    st.text(max_size=12).filter(lambda text: "\0" not in text),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["/", "?", "", "nan", "inf", "../../x", "1e308", "-0", "0x10", "=1+1"]),
)


@contextlib.contextmanager
def named(place):
    """Allows success, or a deliberate error that names the place."""
    try:
        yield
    except MolError as error:
        if str(place) not in str(error):
            raise AssertionError(f"{error} does not name {place}") from error


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("fuzz"), subjects=2, phases=1, frames=2)


@QUICK
@given(data=st.data())
def test_a_damaged_manifest_is_read_or_named(shards, tmp_path, data):
    content = bytearray((shards / MANIFEST_NAME).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with named(tmp_path):
        list(shard_problems(tmp_path, read_manifest(tmp_path).shards))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@QUICK
@given(document=JSON, key=st.integers(0, 30))
def test_a_manifest_with_foreign_values_is_read_or_named(shards, tmp_path, document, key):
    original = json.loads((shards / MANIFEST_NAME).read_text())
    keys = sorted(original)
    original[keys[key % len(keys)]] = document
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(original))
    with named(tmp_path):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../outside.h5", "/etc/passwd", "a/../../b.h5", "..\\b.h5"])
def test_a_manifest_cannot_name_a_shard_outside_its_directory(shards, tmp_path, name):
    original = json.loads((shards / MANIFEST_NAME).read_text())
    original["shards"][0]["file"] = name
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(original))
    with pytest.raises(MolError, match="lies outside"):
        read_manifest(tmp_path)


@QUICK
@given(data=st.data())
def test_a_damaged_shard_is_named_by_verify_and_by_the_reader(shards, tmp_path, data):
    source = next(shards.glob("*.h5"))
    content = bytearray(source.read_bytes())
    cut = data.draw(st.booleans())
    if cut:
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 20))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] ^= data.draw(st.integers(1, 255))
    (tmp_path / source.name).write_bytes(content)
    (tmp_path / MANIFEST_NAME).write_bytes((shards / MANIFEST_NAME).read_bytes())
    changed = bytes(content) != source.read_bytes()
    found = list(shard_problems(tmp_path, read_manifest(tmp_path).shards))
    assert bool(found) == changed
    with named(tmp_path):
        open_shard(tmp_path / source.name).close()
    with named(tmp_path):
        data_set = ShardSet([tmp_path])
        for clip in range(len(data_set.video_of_clip)):
            data_set.read([clip])


@pytest.mark.parametrize("name", sorted(examples()))
@QUICK
@given(data=st.data())
def test_random_cells_reject_rows_or_are_named(tmp_path_factory, name, data):
    release = examples()[name]
    for row in release.rows:
        keys = list(row) if isinstance(row, dict) else range(len(row))
        for key in keys:
            if data.draw(st.integers(0, 3)) == 0:
                row[key] = data.draw(CELLS)
    root = release.write(tmp_path_factory.mktemp("cells") / "db")
    before = sorted(root.parent.iterdir())
    with named(root):
        index = ADAPTERS[name].index(root)
        assert len(index.videos) + len(index.rejected) >= 1
        for video in index.videos:
            assert (root / video.folder).resolve().is_relative_to(root.resolve())
        index.document()
    assert sorted(root.parent.iterdir()) == before


@QUICK
@given(content=st.binary(max_size=400))
def test_random_bytes_are_no_table_no_index_no_labels(tmp_path, content):
    for name in ("SAMM_Micro_FACS_Codes_v2.xlsx", "SAMM_Micro_FACS_Codes_v2.xls"):
        for old in tmp_path.iterdir():
            old.unlink()
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MolError):
            ADAPTERS["samm"].index(tmp_path)
    with pytest.raises(MolError):
        read_index(tmp_path / name)
    with contextlib.suppress(ValueError):
        read_labels(tmp_path / name)


def test_what_is_no_shard_is_named(tmp_path):
    path = tmp_path / "shard-00000.h5"
    with h5py.File(path, "w") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(MolError, match="schema version 99"):
        open_shard(path)
