"""Leave one subject out in real SLURM jobs: the numbers of a run on one machine."""

import json
import os
import re
import subprocess
import sys

import pytest

from mol_model.runs.slurm import SCRIPT_NAME, TRAIN_COMMAND
from tests.model.shard_fixture import write_shards
from tests.slurm.conftest import (
    NODES,
    SCRIPTS,
    jobs,
    slurm,
    start_again_soon,
    state,
    wait_for_end,
    wait_until,
)

SETTINGS = ["--preset", "tiny", "--set", "training.steps=6", "--set", "training.batch_size=4"]


def run_alone(*words):
    """What to compare with, on one thread as in a task: the order of a sum depends on threads."""
    environment = {**os.environ, "SLURM_CPUS_PER_TASK": "1"}
    subprocess.run(list(map(str, words)), check=True, capture_output=True, env=environment)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Shards of four people, and the run of one process."""
    base = tmp_path_factory.mktemp("loso")
    shards = write_shards(base / "shards", subjects=4)
    train = ["moltrain", TRAIN_COMMAND, "--shards", shards, "--out", base / "run", "--jobs", "1"]
    run_alone(*train, *SETTINGS)
    return shards, base / "run"


def submit(shards, out):
    """Numbers of the array and of the job that pools."""
    said = slurm(
        *("moltrain", "submit", "--shards", shards, "--out", out, "--gres", "none"),
        *("--cpus", "1", "--memory", "2G", "--time", "00:20:00", *SETTINGS),
    )
    return re.search(r"array (\d+): 4 tasks; then job (\d+) pools", said).groups()


def logs(out):
    return "\n".join(path.read_text() for path in out.with_name(f"{out.name}.slurm").glob("*.log"))


def test_an_array_with_a_killed_task_ends_with_the_numbers_of_one_process(local, tmp_path):
    shards, expected = local
    out = tmp_path / "a run"
    # The first run ends badly: a task is killed, so the job that pools never starts.
    array, pool = submit(shards, out)
    wait_until(lambda: f"{array}_2" in jobs() and "RUNNING" in state(f"{array}_2"), 60, "task 2")
    slurm("scancel", f"{array}_2")
    assert wait_for_end(array) >= {"CANCELLED"}
    assert wait_for_end(pool) == {"CANCELLED"}
    assert not (out / "folds" / "samm-008" / "predictions.json").exists()
    # The same command again finishes it.
    array, pool = submit(shards, out)
    assert wait_for_end(array) == {"COMPLETED"}, logs(out)
    assert wait_for_end(pool) == {"COMPLETED"}, logs(out)
    ours, theirs = (json.loads((run / "metrics.json").read_text()) for run in (out, expected))
    assert ours == theirs
    assert (out / "predictions.csv").read_bytes() == (expected / "predictions.csv").read_bytes()
    assert (out / "report.html").is_file()


def test_a_preempted_run_saves_is_queued_again_and_ends_with_the_same_numbers(local, tmp_path):
    shards, _ = local
    settings = ["--preset", "tiny", "--set", "training.batch_size=4"]
    settings += ["--set", "training.steps=24", "--set", "training.log_every=1"]
    settings += ["--set", "protocol.k=2"]
    out, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    train = ["moltrain", TRAIN_COMMAND, "--protocol", "k-fold", "--shards", shards]
    run_alone(*train, "--out", undisturbed, *settings)
    text = slurm(
        *("moltrain", "submit", "--dry-run", "--protocol", "k-fold", "--shards", shards),
        *("--out", out, "--gres", "none", "--cpus", "1", "--memory", "2G", *settings),
    )
    script = tmp_path / SCRIPT_NAME
    script.write_text(f"{text}\n")
    job = slurm("sbatch", "--parsable", f"--output={tmp_path / 'log'}", script)
    log = out / "folds/fold-01/metrics.jsonl"
    wait_until(lambda: log.is_file() and len(log.read_text().splitlines()) > 3, 90, "four steps")
    slurm("scancel", "--signal=USR1", job)
    start_again_soon(job)
    saved = json.loads((out / "folds/fold-01/checkpoint.json").read_text())["step"]
    assert 3 < saved < 24
    assert "the state is saved: run again to continue" in (tmp_path / "log").read_text()
    assert wait_for_end(job) == {"COMPLETED"}, (tmp_path / "log").read_text()
    for name in ("metrics.json", "predictions.csv"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes(), name


SAVES_WHEN_ASKED = """#!{python}
import pathlib, signal, sys, time
saved = pathlib.Path({saved!r})
if saved.exists():
    sys.exit(0)
def stop(*_):
    saved.write_text("state")
    sys.exit(75)
signal.signal(signal.SIGUSR1, stop)
pathlib.Path({ready!r}).touch()
time.sleep(120)
"""


def test_a_task_that_was_asked_to_stop_is_queued_again(tmp_path, monkeypatch):
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    # Stands for our program, to look at the script alone.
    program = tmp_path / "moltrain"
    program.write_text(
        SAVES_WHEN_ASKED.format(python=sys.executable, saved=str(saved), ready=str(ready))
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/local/bin:/usr/bin:/bin")
    text = (SCRIPTS / SCRIPT_NAME).read_text()
    for site in ("#SBATCH --partition=gpu", "#SBATCH --gres=gpu:1", 'source "$HOME/mol'):
        assert site in text
        text = "\n".join(line for line in text.splitlines() if not line.startswith(site))
    text = text.replace("per-task=4", "per-task=1").replace("--mem=16G", "--mem=1G")
    script = tmp_path / SCRIPT_NAME
    script.write_text(f"{text}\n")
    job = slurm("sbatch", "--parsable", f"--output={tmp_path / 'log'}", script)
    wait_until(ready.exists, 60, "the program to start")
    slurm("scancel", "--signal=USR1", job)
    wait_until(saved.exists, 60, "the program to save")
    start_again_soon(job)
    assert wait_for_end(job) == {"COMPLETED"}


def test_preempted_pretraining_on_all_nodes_learns_what_one_process_learns(local, tmp_path):
    shards, _ = local
    settings = ["--shards", shards, "--preset", "tiny", "--device", "cpu"]
    for setting in ("steps=24", "batch_size=4", "log_every=1", "learning_rate=0.0003"):
        settings += ["--set", f"training.{setting}"]
    settings += ["--set", "model.dropout=0.0"]
    alone, out = tmp_path / "alone", tmp_path / "out"
    run_alone("moltrain", "pretrain", "--out", alone, *settings)
    job = slurm(
        *("sbatch", "--parsable", f"--nodes={NODES}", "--cpus-per-task=1", "--mem=2G"),
        *(f"--chdir={tmp_path}", f"--output={tmp_path / 'log'}"),
        *(SCRIPTS / "pretrain.sbatch", "--out", out, *settings),
    )
    wait_until(lambda: len(steps(out)) > 3, 120, "four steps")
    slurm("scancel", "--batch", "--signal=USR1", job)
    start_again_soon(job)
    stopped_at = len(steps(out))
    assert 3 < stopped_at < 24
    assert wait_for_end(job) == {"COMPLETED"}, (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().count("the state is saved: run again to continue") >= 1
    first, *later = zip(steps(alone), steps(out), strict=True)
    assert first[1] == pytest.approx(first[0], rel=1e-5)
    for one, shared in later:  # Adam makes the last digit of a small gradient a whole step
        assert shared == pytest.approx(one, rel=0.05, abs=1e-3)


def steps(run):
    """What the log says of each step, but for times."""
    return [
        {name: line[name] for name in ("step", "total", "expression", "flow", "landmarks")}
        for log in run.glob("**/metrics.jsonl")
        for line in map(json.loads, log.read_text().splitlines())
    ]
