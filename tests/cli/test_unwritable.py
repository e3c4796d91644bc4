"""An output that cannot be written: every command says so in a line, before it works for it."""

import contextlib
import os
import subprocess

import click
import pytest

from mol_model.cli import main as moltrain
from mol_model.config.settings import PRESETS
from mol_model.networks.mol.build import build_network
from mol_model.runs.run import fit_to_data, load_data
from mol_model.training.checkpoint import CheckpointRecord, save_checkpoint
from mol_pipeline.cli import main as molprep
from tests.in_process import run_here
from tests.model.inference_fixture import demo_folders
from tests.model.shard_fixture import write_shards
from tests.tally import tally

PROGRAMS = {"moltrain": moltrain, "molprep": molprep}
WRITERS = [
    (program, name)
    for program, group in PROGRAMS.items()
    for name, command in group.commands.items()
    if any(parameter.name == "out" for parameter in command.params) and name != "doctor"
]
"""Every command with an --out; `doctor` only looks at it."""

LONG = int(os.environ.get("MOL_TEST_KILLS", "4")) >= 20
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@contextlib.contextmanager
def mounted(place, *options):
    """A small disk in memory, where this user may mount one."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)]
    if not ROOT or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root may mount a disk, and not in every container")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextlib.contextmanager
def a_file_in_the_way(folder):
    (folder / "file").touch()
    yield folder / "file/run", "file"


@contextlib.contextmanager
def a_link_to_itself(folder):
    (folder / "loop").symlink_to(folder / "loop")
    yield folder / "loop/run", "loop"


@contextlib.contextmanager
def a_name_too_long(folder):
    yield folder / ("x" * 300), "File name too long"


@contextlib.contextmanager
def a_disk_to_read_only(folder):
    with mounted(folder / "disk", "ro") as disk:
        yield disk / "a/b", "the file system is read-only"


@contextlib.contextmanager
def a_directory_of_somebody_else(folder):
    if ROOT:
        pytest.skip("root may write everywhere")
    folder.chmod(0o555)
    yield folder / "a/b", "no permission to write there"
    folder.chmod(0o755)


PLACES = (
    a_file_in_the_way,
    a_link_to_itself,
    a_name_too_long,
    a_disk_to_read_only,
    a_directory_of_somebody_else,
)


NOTHING = {"dataset": "samm"}
"""Of a type of its own."""


def call(program, name, out):
    """A command with something for every argument that must be given; none of it is looked at."""
    words = []
    for parameter in PROGRAMS[program].commands[name].params:
        if parameter.name == "out":
            value = out
        elif parameter.required:
            value = getattr(parameter.type, "choices", [NOTHING.get(parameter.name, "nothing")])[0]
        else:
            continue
        is_option = isinstance(parameter, click.Option)
        words += [parameter.opts[0], value] if is_option else [value]
    return run_here(PROGRAMS[program], name, *words)


@pytest.mark.parametrize("place", PLACES)
def test_every_command_refuses_an_output_that_cannot_be_made(tmp_path, place):
    assert len(WRITERS) >= 15
    with place(tmp_path) as (out, words), tally("outputs that cannot be written") as tried:
        for program, name in WRITERS:
            with tried():
                done = call(program, name, out)
                assert done.returncode == 3, (name, done.stderr)
                assert done.stderr.startswith(f"Error: --out {out}: cannot be written"), name
                assert words in done.stderr, name
                assert done.stderr.count("\n") == 1, name


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two subjects."""
    return write_shards(tmp_path_factory.mktemp("shards"), subjects=2, frames=2, phases=1)


@pytest.fixture(scope="module")
def checkpoint(shards, tmp_path_factory):
    """A network that has learned nothing from nobody, for clips as long as those of a film."""
    data = load_data([shards], None, PRESETS["tiny"])
    config = fit_to_data(PRESETS["tiny"], data)
    path = tmp_path_factory.mktemp("model") / "checkpoint"
    record = CheckpointRecord(
        config=config,
        classes=data.classes,
        mapping=data.mapping,
        fold="x",
        step=1,
        mean=0.0,
        std=1.0,
        manifest_hash="",
        synthetic=True,
        people=("nobody",),
        selection="last",
    )
    save_checkpoint(path, record, build_network(config.model))
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Frames of a synthetic face."""
    return demo_folders(tmp_path_factory.mktemp("film"))[-1]


@pytest.fixture
def command(request, shards, name):
    """A command, its program and its arguments but --out."""
    if name == "predict":
        if not LONG:
            pytest.skip("takes long: set MOL_TEST_KILLS=20")
        video = request.getfixturevalue("film")
        return moltrain, video, "--checkpoint", request.getfixturevalue("checkpoint")
    if name == "loso":
        run = ("--preset", "tiny", "--device", "cpu", "--steps", 1, "--folds", 0, "--jobs", 1)
        return moltrain, "--shards", shards, *run
    if name == "evaluate":
        given = ("--checkpoint", request.getfixturevalue("checkpoint"), "--device", "cpu")
        return moltrain, "--shards", shards, *given
    return molprep, shards


ROOMS = ("32k", "100k", "400k", "1m") if LONG else ("32k",)
WORKING = ("loso", "evaluate", "predict", "preview", "export")


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("name", WORKING)
def test_a_disk_that_fills_up_is_named(command, tmp_path, name, room):
    main, *arguments = command
    with mounted(tmp_path / "disk", f"size={room}") as disk:
        out = disk / "out"
        done = run_here(main, name, *arguments, "--out", out)
        if done.returncode == 0:
            assert room != "32k"
            return
        assert done.returncode in (3, 7), done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith("Error: ")
        assert str(out) in last
        assert "the disk is full; make room" in last
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", WORKING)
def test_an_output_that_is_a_file_is_named(command, tmp_path, name):
    main, *arguments = command
    out = tmp_path / "file"
    out.write_text("mine")
    done = run_here(main, name, *arguments, "--out", out)
    assert done.returncode == 3, done.stderr
    assert str(out) in done.stderr.splitlines()[-1]
    assert out.read_text() == "mine"
