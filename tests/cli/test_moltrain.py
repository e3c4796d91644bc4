"""`moltrain` as a user meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from mol_model.cli import main
from mol_model.networks.mol.build import build_network
from mol_model.training.checkpoint import load_checkpoint, restore
from tests.in_process import run_here
from tests.model.release_oracle import random_state
from tests.model.shard_fixture import write_shards

MOLTRAIN = str(Path(sys.executable).with_name("moltrain"))
QUICK = ["--preset", "tiny", "--steps", "2", "--device", "cpu", "--jobs", "1"]


run = partial(run_here, main)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), subjects=2)


def test_fit_prints_pooled_scores_and_the_report(shards, tmp_path):
    out = tmp_path / "run"
    command = [MOLTRAIN, "fit", "--shards", shards, "--out", out, *QUICK]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("SYNTHETIC data: leave one subject out, 2 folds")
    assert "model chosen: last" in result.stdout
    assert result.stdout.rstrip().endswith(f"report: {out}/report.html")
    assert "folds 2/2" in result.stderr
    assert (out / "confusion.png").is_file()


def test_each_bad_input_is_one_line_with_its_exit_code(shards, tmp_path):
    one_subject = write_shards(tmp_path / "one", subjects=1)
    no_contempt = write_shards(tmp_path / "words", words=("Anger", "Happiness"))
    (tmp_path / "in-use").mkdir()
    (tmp_path / "in-use/letter.txt").touch()
    new = tmp_path / "new"
    cases = [
        (4, "no manifest.json", tmp_path / "nowhere", new, []),
        (7, "one subject only", one_subject, new, []),
        (7, "no video of class contempt, surprise, others", no_contempt, new, []),
        (3, "holds no run", shards, tmp_path / "in-use", []),
        (3, "samm has no such mapping; it has 5, 3", shards, new, ["--classes", "9"]),
        (3, "did you mean training.steps?", shards, new, ["--set", "training.step=3"]),
        (3, "no such fold", shards, new, ["--folds", "nobody"]),
    ]
    for code, words, source, out, more in cases:
        result = run("fit", "--shards", source, "--out", out, *QUICK, *more)
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
        assert result.returncode == code, (words, result.stderr)
        assert len(errors) == 1, result.stderr
        assert words in errors[0]
        assert "Traceback" not in result.stderr
    assert not new.exists() or not any(new.glob("folds/*"))


def test_model_prints_parameters_by_part():
    result = run("model", "--preset", "paper", "--json")
    summary = json.loads(result.stdout)
    assert summary["parameters"] == sum(summary["by_part"].values())
    assert "flow" in run("model", "--preset", "tiny").stdout
    assert run("model", "--set", "use_flo=false").returncode == 3


def test_ctrl_c_exits_130_and_the_next_run_continues(shards, tmp_path):
    out = tmp_path / "run"
    command = [MOLTRAIN, "fit", "--shards", str(shards), "--out", str(out)]
    command += ["--preset", "tiny", "--steps", "12", "--device", "cpu", "--jobs", "1"]
    command += ["--set", "training.checkpoint_every=3", "--set", "training.batch_size=2"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("folds/*/checkpoint.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "run again to continue" in stderr
    assert "Traceback" not in stderr
    assert not (out / "metrics.json").exists()

    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (out / "report.html").is_file()


def test_model_prints_layers_and_the_size_of_the_release():
    result = run("model", "--flavour", "release", "--json")
    summary = json.loads(result.stdout)
    assert summary["parameters"] == pytest.approx(44.1e6, rel=2e-3)
    parts = summary["by_part"]
    assert parts["stem"] == pytest.approx(0.019e6, rel=0.05)
    assert parts["flow"] == pytest.approx(39.73e6, rel=1e-3)
    assert parts["expression"] == pytest.approx(0.739e6, rel=1e-3)
    assert parts["landmarks"] == pytest.approx(3.318e6, rel=1e-3)
    stem = [layer for layer in summary["layers"] if layer["name"].startswith("stem")]
    assert [layer["output_shape"][1:] for layer in stem] == [
        [8, 63, 63],
        [32, 31, 31],
        [64, 16, 16],
        [128, 16, 16],
    ]
    assert sum(layer["parameters"] for layer in summary["layers"]) <= summary["parameters"]
    text = run("model", "--preset", "tiny").stdout
    assert "flow.encoder.conv1.0" in text
    assert "GFLOP" in text


def test_import_release_reports_every_key_and_writes_a_checkpoint(tmp_path):
    state = {f"module.{name}": value.float() for name, value in random_state(3).items()}
    file, out = tmp_path / "release.pth", tmp_path / "imported"
    torch.save({"state_dict": state}, file)
    result = run("import-release", file, "--out", out, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert len(report["used"]) + len(report["unused"]) == len(state)
    assert report["unknown"] == report["missing"] == []
    assert all(".ffn." in key for key in report["unused"])
    record, tensors = load_checkpoint(out)
    assert record.config.model.flavour == "release"
    assert record.config.model.classes == 3
    restore(tensors, build_network(record.config.model))

    del state["module.CCC_1.conv2.bias"]
    state["module.surprise"] = torch.zeros(1)
    torch.save(state, file)
    incomplete = run("import-release", file, "--out", tmp_path / "none")
    assert incomplete.returncode == 7
    assert "unknown: 1\n  surprise" in incomplete.stdout
    assert "first.0.ccc.difference.bias" in incomplete.stdout
    assert not list(tmp_path.glob("none*"))

    torch.save({"model": build_network}, file)  # would need code to be opened
    refused = run("import-release", file)
    assert refused.returncode == 7
    assert "cannot be read as weights" in refused.stderr
