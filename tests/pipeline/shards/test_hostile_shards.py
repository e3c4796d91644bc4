"""Shards and directories made by somebody else: no byte of another file becomes a clip."""

import os
import shutil
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from mol_model.clips.shards import ShardSet
from mol_pipeline.cli import main
from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.files import hash_file
from mol_pipeline.contract.manifest_file import MANIFEST_NAME, read_manifest, write_manifest
from mol_pipeline.contract.shard_layout import CLIP_ARRAYS, VIDEO_TABLE
from mol_pipeline.shards.files import directory_problems
from mol_pipeline.shards.opening import open_shard
from tests.in_process import invoke
from tests.model.shard_fixture import write_shards
from tests.tally import tally

NAME = "shard-00000.h5"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_shards(
        tmp_path_factory.mktemp("good") / "shards", subjects=2, words=("Anger",), phases=1, frames=2
    )


@pytest.fixture
def shards(good, tmp_path):
    directory = shutil.copytree(good, tmp_path / "shards")
    secret = tmp_path / "secret"
    with open_shard(good / NAME) as file:
        secret.write_bytes(b"".join(file["frames"][:].tobytes() for _ in range(2)))
    shutil.copyfile(good / NAME, tmp_path / "other.h5")
    return directory


def replaced(name, make):
    """A change of a shard: a member taken out and made anew otherwise."""

    def change(path, outside):
        with h5py.File(path, "r+") as file:
            data = file[name][:]
            shape, dtype = data.shape, data.dtype
            del file[name]
            make(file, name, data, shape, dtype, outside)

    return change


def external_link(file, name, data, shape, dtype, outside):
    file[name] = h5py.ExternalLink(str(outside / "other.h5"), f"/{name}")


def relative_external_link(file, name, data, shape, dtype, outside):
    file[name] = h5py.ExternalLink("../other.h5", f"/{name}")


def soft_link(file, name, data, shape, dtype, outside):
    file.create_dataset("hidden", data=data)
    file[name] = h5py.SoftLink("/hidden")


def dangling_link(file, name, data, shape, dtype, outside):
    file[name] = h5py.SoftLink("/nowhere")


def raw_storage(file, name, data, shape, dtype, outside):
    file.create_dataset(
        name, shape, dtype, external=[(str(outside / "secret"), 0, h5py.h5f.UNLIMITED)]
    )


def virtual(file, name, data, shape, dtype, outside):
    layout = h5py.VirtualLayout(shape, dtype)
    layout[:] = h5py.VirtualSource(str(outside / "other.h5"), name, shape)
    file.create_virtual_dataset(name, layout)


def chunked(**options):
    def make(file, name, data, shape, dtype, outside):
        chunks = (1, *shape[1:]) if len(shape) > 1 else shape
        file.create_dataset(name, data=data, chunks=chunks, **options)

    return make


def contiguous(file, name, data, shape, dtype, outside):
    file.create_dataset(name, data=data)


def never_written(file, name, data, shape, dtype, outside):
    file.create_dataset(name, shape, dtype, chunks=(1, *shape[1:]), fletcher32=True)


def one_chunk(file, name, data, shape, dtype, outside):
    file.create_dataset(name, data=data, chunks=shape, fletcher32=True)


def of_type(dtype):
    def make(file, name, data, shape, old, outside):
        chunked(fletcher32=True)(file, name, data.astype(dtype), shape, dtype, outside)

    return make


def huge(file, name, data, shape, dtype, outside):
    file.create_dataset(name, (10**9, *shape[1:]), dtype, chunks=(1, *shape[1:]), fletcher32=True)


def references(file, name, data, shape, dtype, outside):
    file.create_dataset(name, shape, h5py.ref_dtype)


def group(file, name, data, shape, dtype, outside):
    file.create_group(name)


def nothing(file, name, data, shape, dtype, outside):
    pass


def more(path, outside):
    with h5py.File(path, "r+") as file:
        file["more"] = [1]


def external_table(path, outside):
    with h5py.File(path, "r+") as file:
        del file[VIDEO_TABLE]
        file[VIDEO_TABLE] = h5py.ExternalLink(str(outside / "other.h5"), f"/{VIDEO_TABLE}")


def user_block(path, outside):
    content = path.read_bytes()
    with h5py.File(path, "w", userblock_size=512):
        pass
    with h5py.File(path, "r+") as new, h5py.File(outside / "other.h5") as old:
        for name in old:
            old.copy(name, new)
        new.attrs.update(old.attrs)
    assert path.read_bytes() != content


def version(value):
    def change(path, outside):
        with h5py.File(path, "r+") as file:
            file.attrs["schema_version"] = value

    return change


def linked(path, outside):
    path.rename(outside / "moved.h5")
    path.symlink_to(outside / "moved.h5")


def pipe(path, outside):
    path.unlink()
    os.mkfifo(path)


def folder(path, outside):
    path.unlink()
    path.mkdir()


CHANGES = {
    "external link": replaced("frames", external_link),
    "relative external link": replaced("flow", relative_external_link),
    "soft link": replaced("frames", soft_link),
    "dangling link": replaced("landmarks", dangling_link),
    "external raw storage": replaced("frames", raw_storage),
    "external raw storage of a column": replaced(f"{VIDEO_TABLE}/onset", raw_storage),
    "virtual dataset": replaced("frames", virtual),
    "external link of a column": replaced(f"{VIDEO_TABLE}/clip", external_link),
    "external link of the table": external_table,
    "filter lzf": replaced("frames", chunked(compression="lzf", fletcher32=True)),
    "filter zfp": replaced("landmarks", chunked(**hdf5plugin.Zfp(reversible=True))),
    "compressed column": replaced(
        f"{VIDEO_TABLE}/onset", chunked(compression="gzip", fletcher32=True)
    ),
    "no checksums": replaced("frames", chunked()),
    "no chunks": replaced("frames", contiguous),
    "never written": replaced("frames", never_written),
    "one chunk": replaced("frames", one_chunk),
    "float frames": replaced("frames", of_type("f4")),
    "big-endian landmarks": replaced("landmarks", of_type(">f4")),
    "a billion clips": replaced("frames", huge),
    "a billion rows": replaced("phase", huge),
    "references": replaced("video", references),
    "group for data": replaced("frames", group),
    "nothing for data": replaced("frames", nothing),
    "more than a shard has": more,
    "user block": user_block,
    "version 99": version(99),
    "version as text": version("2"),
    "version as list": version([2, 2]),
    "version 1 without its layout": version(1),
    "link to a file elsewhere": linked,
    "pipe": pipe,
    "folder": folder,
}


def vouched_for(directory):
    """The manifest with the size and the hash that the file has now: the sender made it so."""
    manifest, path = read_manifest(directory), directory / NAME
    if path.is_file():
        record = manifest.shards[0].model_copy(
            update={"bytes": path.stat().st_size, "sha256": hash_file(path)}
        )
        write_manifest(manifest.model_copy(update={"shards": (record,)}), directory)
    return read_manifest(directory)


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_shard_of_ours_is_not_read(shards, tmp_path, name):
    path = shards / NAME
    CHANGES[name](path, tmp_path)
    manifest = vouched_for(shards)
    with tally("hostile shards") as tried, tried():
        assert any(one.where == NAME for one in directory_problems(shards, manifest))
        with pytest.raises(ManifestError, match=NAME):
            open_shard(path)
        with pytest.raises(ManifestError, match=NAME):
            ShardSet([shards])


def test_every_dataset_is_looked_at(shards, tmp_path):
    """Of each dataset: its data in another file are refused, by name."""
    names = [array.name for array in CLIP_ARRAYS]
    with h5py.File(shards / NAME) as file:
        names += [f"{VIDEO_TABLE}/{column}" for column in file[VIDEO_TABLE]]
    for name in names:
        path = tmp_path / "one" / NAME
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(shards / NAME, path)
        replaced(name, external_link)(path, tmp_path)
        with pytest.raises(ManifestError, match=name.rpartition("/")[2]):
            open_shard(path)


def test_a_good_shard_is_read_through_a_link_to_its_directory(shards, tmp_path):
    """Whoever names a directory may keep it on another disk."""
    (tmp_path / "elsewhere").symlink_to(shards)
    assert invoke(main, "verify", tmp_path / "elsewhere").exit_code == 0
    assert len(ShardSet([tmp_path / "elsewhere"]).videos) == 2


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_manifest_that_is_no_file_is_not_followed(shards, tmp_path, kind):
    path = shards / MANIFEST_NAME
    {"link": linked, "pipe": pipe, "folder": folder}[kind](path, tmp_path)
    with tally("hostile shards") as tried, tried():
        result = invoke(main, "verify", shards)
        assert result.exit_code == 4 and "no plain file" in result.stderr
        with pytest.raises(ManifestError, match="no plain file"):
            ShardSet([shards])


def readers(directory: Path, out: Path):
    """Every command of molprep that reads shards."""
    yield "verify", directory
    yield "inspect", directory
    yield "inspect", directory, "--json"
    yield "preview", directory, "--out", out
    yield "export", directory, "--out", out
    yield "export", directory, "--croissant-only", "--out", out
    yield "merge", directory, "--out", out


@pytest.mark.parametrize("what", ["labels", "external link"])
def test_every_command_refuses_what_disagrees(shards, tmp_path, what):
    if what == "labels":
        manifest = read_manifest(shards)
        one, other = manifest.videos
        swapped = (
            one.model_copy(update={"subject": other.subject, "person": other.person}),
            other.model_copy(update={"subject": one.subject, "person": one.person}),
        )
        write_manifest(manifest.model_copy(update={"videos": swapped}), shards)
    else:
        CHANGES[what](shards / NAME, tmp_path)
        vouched_for(shards)
    for command in readers(shards, tmp_path / "out"):
        result = invoke(main, *command)
        assert result.exit_code == 4, command
        assert NAME in result.stderr, command
        assert not list(tmp_path.glob("out/**/*.png")), command


def test_the_database_of_a_video_leads_nowhere(shards, tmp_path):
    """Not even where the shard says the same: such a shard is made with our own writer."""
    manifest = read_manifest(shards)
    videos = tuple(
        video.model_copy(update={"database": "../../x", "subject": "../../y", "clip": "../../z"})
        for video in manifest.videos
    )
    write_manifest(manifest.model_copy(update={"videos": videos}), shards)
    before = sorted(tmp_path.parent.iterdir())
    for command in readers(shards, tmp_path / "a/b/out"):
        assert invoke(main, *command).exit_code == 4, command
    assert sorted(tmp_path.parent.iterdir()) == before
    assert np.all([one.name in {"shards", "secret", "other.h5"} for one in tmp_path.iterdir()])
