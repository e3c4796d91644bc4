"""`molprep` as a user meets it: exit codes, one line on stderr, results on stdout."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from mol_pipeline.cli import main
from mol_pipeline.contract.manifest import Manifest
from mol_pipeline.contract.manifest_file import MANIFEST_NAME
from mol_pipeline.databases.names import DATABASES
from mol_pipeline.databases.registry import ADAPTERS
from tests.fakes import FakeClip, write_samm_tree
from tests.in_process import run_here

MOLPREP = str(Path(sys.executable).with_name("molprep"))
CLIPS = [FakeClip("006_1_1", 5, 6, 8, "Anger"), FakeClip("007_1_1", 20, 21, 22, "Happiness")]
SMALL = ["--set", "sampling.frames=2", "--workers", "1"]


run = partial(run_here, main)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    base = tmp_path_factory.mktemp("cli")
    root = write_samm_tree(base / "root", CLIPS, real_faces=True)
    command = [MOLPREP, "build", "--dataset", "samm", "--root", root, "--out", base / "out", *SMALL]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return root, base / "out", result


def test_build_prints_its_summary_on_stdout_and_progress_on_stderr(built):
    _, out, result = built
    assert result.returncode == 0, result.stderr
    assert "2 videos of 2 subjects, 3 clips of 2 frames" in result.stdout
    assert "preparing videos: 2/2" in result.stderr
    assert "warning: 2 of 159 clips are here (2 of 29 subjects)" in result.stderr
    assert (out / MANIFEST_NAME).is_file()


def test_verify_inspect_and_preview(built, tmp_path):
    _, out, _ = built
    result = run("verify", out)
    assert (result.returncode, result.stderr) == (0, "")
    assert "all as in the manifest" in result.stdout

    document = json.loads(run("inspect", out, "--json").stdout)
    assert Manifest.model_validate_json(json.dumps(document)).clips == 3

    result = run("preview", out, "--out", tmp_path, "--videos", "2")
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_verify_names_a_flipped_byte_and_exits_4(built, tmp_path):
    _, out, _ = built
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in out.glob("*.*"):
        (copy / path.name).write_bytes(path.read_bytes())
    shard = copy / "shard-00000.h5"
    raw = bytearray(shard.read_bytes())
    raw[1000] ^= 4
    shard.write_bytes(raw)
    result = run("verify", copy)
    assert result.returncode == 4
    assert result.stdout == ""
    assert str(shard) in result.stderr


def test_each_bad_input_is_one_line_with_its_exit_code(built, tmp_path):
    root, out, _ = built
    (tmp_path / "empty").mkdir()
    (tmp_path / "no-table").mkdir()
    (tmp_path / "no-table/x.jpg").touch()
    (tmp_path / "in-use").mkdir()
    (tmp_path / "in-use/letter.txt").touch()
    new = tmp_path / "new"
    cases = [
        (5, "does not exist", tmp_path / "nowhere", new, []),
        (5, "is empty", tmp_path / "empty", new, []),
        (5, "no SAMM annotation", tmp_path / "no-table", new, []),
        (3, "in use by something else", root, tmp_path / "in-use", []),
        (3, "the settings differ", root, out, ["--set", "sampling.frames=3"]),
        (3, "did you mean sampling.frames?", root, new, ["--set", "sampling.frame=3"]),
        (5, "--landmark-model", root, new, ["--landmark-model", tmp_path / "no.dat"]),
        (3, "no Dask scheduler", root, new, ["--scheduler", "tcp://127.0.0.1:9"]),
    ]
    for code, words, source, target, more in cases:
        result = run("build", "--dataset", "samm", "--root", source, "--out", target, *SMALL, *more)
        lines = [line for line in result.stderr.splitlines() if not line.startswith("warning:")]
        errors = [line for line in lines if line.startswith("Error:")]
        assert result.returncode == code, (words, result.stderr)
        assert len(errors) == 1, result.stderr
        assert words in errors[0]
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
    assert run("verify", tmp_path / "empty").returncode == 4
    assert run("build", "--dataset", "nonsense").returncode == 2


def test_a_frame_that_is_no_image_rejects_its_video_and_exits_6(tmp_path):
    clips = [*CLIPS, FakeClip("008_1_1", 1, 2, 2, damaged=frozenset({2}))]
    root = write_samm_tree(tmp_path / "root", clips, real_faces=True)
    out = tmp_path / "out"
    result = run("build", "--dataset", "samm", "--root", root, "--out", out, *SMALL)
    assert result.returncode == 6
    assert "SAMM/008/008_1_1/008_00002.jpg: is not an image" in result.stderr
    assert "1 of 3 videos could not be prepared; the others are in" in result.stderr
    assert run("verify", out).returncode == 0


def test_ctrl_c_exits_130_and_the_next_run_continues(tmp_path):
    clips = [FakeClip(f"{s:03d}_1_1", 1, 2, 12, "Anger") for s in range(6, 12)]
    root = write_samm_tree(tmp_path / "root", clips, real_faces=True)
    out = tmp_path / "out"
    command = ["build", "--dataset", "samm", "--root", root, "--out", out, "--workers", "1"]
    command += ["--set", "sampling.frames=8", "--set", "shards.videos_per_shard=1"]
    process = subprocess.Popen(
        [MOLPREP, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    while not list(out.glob("shard-*.h5")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "run again to continue" in stderr
    assert "Traceback" not in stderr
    assert not (out / MANIFEST_NAME).exists()

    result = run(*command)
    assert result.returncode == 0, result.stderr
    kept = int(result.stderr.split("kept ")[-1].split()[0])
    assert kept >= 1
    assert run("verify", out).returncode == 0


def test_the_names_in_help_are_those_of_the_adapters():
    assert set(DATABASES) == set(ADAPTERS)


@pytest.mark.parametrize("command", ["molprep", "moltrain"])
def test_help_needs_no_heavy_import(command):
    module = {"molprep": "mol_pipeline.cli", "moltrain": "mol_model.cli"}[command]
    code = f"""
import sys
from click.testing import CliRunner
from {module} import main
result = CliRunner().invoke(main, ["--help"])
assert result.exit_code == 0, result.stderr
print(sorted({{"torch", "cv2", "dlib", "numpy", "h5py", "dask"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_help():
    for name in main.commands:
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0
        assert len(result.output.split("\n")[2].strip()) > 20


@pytest.mark.parametrize(
    ("flags", "detection"),
    [
        ([], {"detect_every": 0, "no_face": "reject"}),
        (["--detect", "every", "--no-face", "track"], {"detect_every": 1, "no_face": "track"}),
        (["--detect", "5"], {"detect_every": 5, "no_face": "reject"}),
    ],
)
def test_detection_flags_reach_the_settings_in_the_manifest(tmp_path, flags, detection):
    root = write_samm_tree(tmp_path / "root", CLIPS[:1], real_faces=True)
    out = tmp_path / "out"
    command = ["build", "--dataset", "samm", "--root", root, "--out", out, *SMALL, *flags]
    result = run(*command)
    assert result.returncode == 0, result.stderr
    written = json.loads((out / MANIFEST_NAME).read_text())["config"]["detection"]
    assert {name: written[name] for name in detection} == detection


@pytest.mark.parametrize("value", ["never", "0", "-3", "1.5"])
def test_another_word_for_detect_is_refused(tmp_path, value):
    root = write_samm_tree(tmp_path / "root", CLIPS[:1])
    command = ["build", "--dataset", "samm", "--root", root, "--out", tmp_path, "--detect", value]
    result = run(*command)
    assert result.returncode == 2
    assert "must be first, every, or a number" in result.stderr


def test_one_face_missing_can_end_the_build(tmp_path):
    root = write_samm_tree(tmp_path / "root", CLIPS[:1], real_faces=True)
    frame = sorted(root.rglob("*.jpg"))[0]
    cv2.imwrite(str(frame), np.full((200, 200), 128, dtype=np.uint8))
    command = ["build", "--dataset", "samm", "--root", root, "--out", tmp_path / "out", *SMALL]
    result = run(*command, "--no-face", "fail")
    assert result.returncode == 6
    assert "a frame has no face, and detection.no_face is 'fail'" in result.stderr
    assert not (tmp_path / "out" / MANIFEST_NAME).exists()
