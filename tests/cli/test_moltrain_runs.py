"""Long-running `moltrain`: stopped, killed, shared by processes, compared, continued."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from mol_model.cli import main
from mol_model.reports.comparison import mcnemar
from tests.fuzz.readers import write_run
from tests.in_process import run_here
from tests.model.shard_fixture import write_shards
from tests.tally import tally

BIN = Path(sys.executable).parent
TINY = ["--preset", "tiny", "--device", "cpu", "--set", "training.log_every=1"]
SMALL = [*TINY, "--set", "training.batch_size=4", "--set", "model.dropout=0.0"]
SMALL += ["--set", "training.learning_rate=0.0003"]
ALONE = ["--jobs", "1"]
KILLS = int(os.environ.get("MOL_TEST_KILLS", "4"))
"""A quarter of them with several processes; MOL_TEST_KILLS=40 for the long version."""


here = partial(run_here, main)


def moltrain(*arguments, program=("moltrain",), **more):
    command = [str(BIN / program[0]), *program[1:], *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **more)


def log_of(run, fold="samm-006"):
    lines = (run / "folds" / fold / "metrics.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if k not in ("clips_per_second", "waiting")}
        for line in lines
    ]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), subjects=2)


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """An undisturbed run of one fold."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    done = moltrain("loso", "--shards", shards, "--out", out, *SMALL, "--steps", 12, "--folds", 0)
    assert done.returncode == 0, done.stderr
    assert "1 folds" in done.stdout
    assert "of the protocol's 2 folds: not its result yet" in done.stdout
    return out


def wait_for_step(process, run, step):
    deadline = time.monotonic() + 120
    log = run / "folds/samm-006/metrics.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        if log.is_file() and len(log.read_text().splitlines()) >= step:
            return
        time.sleep(0.01)
    pytest.fail(f"no step {step}: {process.communicate()[1]}")


def start(*arguments, program=("moltrain",)):
    """A process with a group of its own."""
    command = [str(BIN / program[0]), *program[1:], *map(str, arguments)]
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


BY_PROCESSES = ["--set", "data.cache=stream", "--set", "data.workers=1"]


@pytest.mark.parametrize("moment", range(max(1, KILLS // 4)))
def test_no_process_outlives_a_main_process_that_is_killed(shards, whole, tmp_path, moment):
    """Two folds at once, each with a process that reads; the rerun follows at once."""
    out = tmp_path / "run"
    arguments = ["loso", "--shards", shards, "--out", out, *SMALL, "--steps", 12]
    arguments += ["--set", "training.checkpoint_every=2"]
    with tally("SIGKILLs of moltrain, folds and readers at work") as tried:
        process = start(*arguments, *BY_PROCESSES, "--jobs", 2)
        wait_for_step(process, out, 1 + moment % 10)
        with tried():
            family = psutil.Process(process.pid).children(recursive=True)
            assert len(family) >= 4
            process.kill()
            process.communicate()
            again = here(*arguments, "--folds", 0, *ALONE)
            assert again.returncode == 0, again.stderr
            assert not psutil.wait_procs(family, timeout=5)[1]
            assert log_of(out) == log_of(whole)
            assert (out / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGUSR1, 75)])
def test_a_run_that_is_stopped_or_killed_ends_with_the_same_numbers(
    shards, whole, tmp_path, number, code
):
    out = tmp_path / "run"
    arguments = ["loso", "--shards", shards, "--out", out, *SMALL, "--steps", 12, "--folds", 0]
    arguments += ["--set", "training.checkpoint_every=2"]
    process = start(*arguments, *BY_PROCESSES)
    wait_for_step(process, out, 5)
    os.killpg(process.pid, number)  # as a batch system does: also the process that reads
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == code, stderr
    if code == 75:
        assert "the state is saved: run again to continue" in stderr
        assert "Traceback" not in stderr
    state = here("status", out, "--json")
    (first, second) = json.loads(state.stdout)
    assert (first["fold"], first["state"], second["state"]) == ("samm-006", "stopped", "waiting")

    assert moltrain(*arguments).returncode == 0
    # How clips reach the network is a setting, and checkpoint_every: no number depends on them.
    assert log_of(out) == log_of(whole)
    assert (out / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()
    assert "samm-006" in here("status", out).stdout


def test_several_folds_at_once_save_when_they_are_asked_to_stop(shards, tmp_path):
    out = tmp_path / "run"
    arguments = ["loso", "--shards", shards, "--out", out, *SMALL, "--steps", 500, "--jobs", 2]
    process = start(*arguments)
    wait_for_step(process, out, 2)
    os.killpg(process.pid, signal.SIGTERM)
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 75, stderr
    assert "those in work saved their state" in stderr
    record = json.loads((out / "folds/samm-006/checkpoint.json").read_text())
    assert record["step"] == log_of(out)[-1]["step"] < 500


def test_two_processes_of_torchrun_learn_what_one_learns(shards, whole, tmp_path):
    arguments = ["loso", "--shards", shards, *SMALL, "--steps", 12, "--folds", 0]
    torchrun = ("torchrun", "--standalone", "--nproc-per-node=2", "-m", "mol_model")
    out = tmp_path / "shared"
    done = moltrain(*arguments, "--out", out, program=torchrun)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report:") == 1
    first, *later = zip(log_of(whole), log_of(out), strict=True)
    assert first[1] == pytest.approx(first[0], rel=1e-5)
    for one, shared in later:  # Adam makes the last digit of a small gradient a whole step
        assert shared == pytest.approx(one, rel=0.05, abs=1e-3)
    odd = moltrain(
        *arguments, "--set", "training.batch_size=3", "--out", tmp_path / "odd", program=torchrun
    )
    assert odd.returncode != 0
    assert "cannot be split evenly among 2 processes" in odd.stderr


@pytest.mark.skipif(KILLS < 20, reason="takes long: set MOL_TEST_KILLS=20")
def test_processes_of_torchrun_share_a_network_with_an_unused_branch_and_end_with_it(
    shards, tmp_path
):
    """A row of Table XV: landmarks alone. Then torchrun is killed in the midst of a run."""
    alone = ["--set", "model.use_expression=false", "--set", "model.use_flow=false"]
    arguments = ["loso", "--shards", shards, *SMALL, *alone, "--folds", 0]
    torchrun = ("torchrun", "--standalone", "--nproc-per-node=2", "-m", "mol_model")
    done = moltrain(*arguments, "--steps", 6, "--out", tmp_path / "two", program=torchrun)
    assert done.returncode == 0, done.stderr
    one = here(*arguments, "--steps", 6, "--out", tmp_path / "one", *ALONE)
    assert one.returncode == 0, one.stderr
    for mine, shared in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        assert shared == pytest.approx(mine, rel=0.05, abs=1e-3)

    out = tmp_path / "killed"
    process = start(*arguments, "--steps", 5000, "--out", out, program=torchrun)
    wait_for_step(process, out, 3)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    process.kill()
    process.communicate()
    assert not psutil.wait_procs(family, timeout=30)[1]
    record = json.loads((out / "folds/samm-006/checkpoint.json").read_text())
    assert record["step"] == log_of(out)[-1]["step"] < 5000  # they saved first


def test_a_full_disk_is_named_and_the_run_continues_when_there_is_room(shards, whole, tmp_path):
    out = tmp_path / "run"
    arguments = ["loso", "--shards", shards, "--out", out, *SMALL, "--steps", 12, "--folds", 0]

    def no_large_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    full = moltrain(*arguments, preexec_fn=no_large_files)
    assert full.returncode == 7
    assert "checkpoint: the checkpoint cannot be written" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list(out.glob("folds/*/.*.part"))
    assert moltrain(*arguments).returncode == 0
    assert log_of(out) == log_of(whole)


def test_a_fold_that_fails_is_named_and_the_others_are_finished(tmp_path):
    shards = write_shards(tmp_path / "shards", broken_subject=7)
    out = tmp_path / "run"
    done = moltrain("loso", "--shards", shards, "--out", out, *SMALL, "--steps", 6)
    assert done.returncode == 7
    # Subject 007 is in the training part of the two other folds.
    assert "2 of 3 folds failed (samm-006, samm-008), the others are finished" in done.stderr
    assert "the loss is not finite" in done.stderr
    assert "samm/007/" in done.stderr
    states = {one["fold"]: one for one in json.loads(here("status", out, "--json").stdout)}
    assert states["samm-007"]["state"] == "done"
    assert states["samm-006"]["state"] == "failed"
    assert "not finite" in states["samm-006"]["words"]


def test_seeds_give_mean_and_spread_and_compare_puts_runs_beside_each_other(shards, tmp_path):
    seeds, other = tmp_path / "seeds", tmp_path / "other"
    common = ["--shards", shards, *SMALL, "--steps", 2, "--jobs", 1]
    done = here("loso", *common, "--out", seeds, "--seeds", "0,3")
    assert done.returncode == 0, done.stderr
    assert "seeds 0, 3" in done.stdout
    metrics = json.loads((seeds / "metrics.json").read_text())
    single = [json.loads((seeds / f"seed-{s}/metrics.json").read_text()) for s in (0, 3)]
    values = [one["landmarks"]["inter_ocular_nme_percent"] for one in single]
    spread = metrics["spread"]["inter_ocular_nme_percent"]
    assert spread["values"] == values
    assert spread["mean"] == pytest.approx(sum(values) / 2)
    assert spread["standard_deviation"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert "seed-3/report.html" in (seeds / "report.html").read_text()
    assert here("loso", *common, "--out", seeds, "--seeds", "1,1").returncode == 3

    control = ["--set", "data.shuffle_labels=true", "--selection", "test-best"]
    done = here("loso", *common, "--out", other, *control)
    assert done.returncode == 0, done.stderr
    assert "OPTIMISTIC" in done.stdout
    assert "CONTROL: the labels of the training videos were shuffled" in done.stdout
    page = (other / "report.html").read_text()
    assert "Control experiment" in page
    assert "Optimistic" in page

    beside = here("compare", seeds / "seed-0", other)
    assert beside.returncode == 0, beside.stderr
    assert "warning: the runs differ in selection: last, test-best" in beside.stdout
    assert "data.shuffle_labels" in beside.stdout
    assert "McNemar" in beside.stdout
    document = json.loads(here("compare", seeds, other, "--json").stdout)
    assert document["scores"]["inter_ocular_nme_percent"][0] == pytest.approx(spread["mean"])
    assert document["changes"][0]["videos"] == 10
    missing = here("compare", seeds, tmp_path / "nothing")
    assert missing.returncode == 4
    assert "name finished runs" in missing.stderr


def test_mcnemar_is_the_exact_two_sided_binomial_test():
    assert mcnemar(5, 0) == pytest.approx(2 * 0.5**5)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1.0
    assert mcnemar(1, 8) == pytest.approx(2 * 10 / 512)


def test_cross_database_scores_each_pair_and_evaluate_tests_new_people(tmp_path):
    one = write_shards(tmp_path / "samm", subjects=2)
    two = write_shards(tmp_path / "mmew", subjects=2, database="mmew")
    out = tmp_path / "run"
    both = ["--shards", one, "--shards", two]
    done = here("cross", *both, "--out", out, *SMALL, *ALONE, "--steps", 2)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert list(metrics["by_fold"]) == ["mmew-to-samm", "samm-to-mmew"]
    assert metrics["by_fold"]["mmew-to-samm"]["videos"] == 8  # `Other` is in no class of both
    assert "mmew-to-samm: 8 videos" in done.stdout

    checkpoint = out / "folds/mmew-to-samm/checkpoint.safetensors"
    again = tmp_path / "again"
    tested = here("evaluate", "--checkpoint", checkpoint, "--shards", one, "--out", again)
    assert tested.returncode == 0, tested.stderr
    found = json.loads((again / "metrics.json").read_text())
    assert found["confusion"] == metrics["by_fold"]["mmew-to-samm"]["confusion"]
    assert (again / "confusion.png").is_file()
    seen = here("evaluate", "--checkpoint", checkpoint, "--shards", two, "--out", again)
    assert seen.returncode == 7
    assert "was trained on mmew/006, mmew/007" in seen.stderr
    both += ["--seen-people", "leave-out"]
    kept = here("evaluate", "--checkpoint", checkpoint, *both, "--out", again)
    assert "8 held-out videos" in kept.stdout


def test_a_split_by_subject_is_one_fold(shards, tmp_path):
    out = tmp_path / "run"
    arguments = ["fit", "--protocol", "hold-out", "--test", "007", "--shards", shards]
    done = here(*arguments, "--out", out, *SMALL, *ALONE, "--steps", 2)
    assert done.returncode == 0, done.stderr
    assert "one split by subject, 1 folds, 5 held-out videos" in done.stdout


def test_the_state_of_a_run_and_a_comparison_need_no_torch(tmp_path):
    """They are asked for often, on a login node: torch would take seconds each time."""
    first, second = write_run(tmp_path / "first"), write_run(tmp_path / "second")
    code = f"""
import sys
from click.testing import CliRunner
from mol_model.cli import main
for words in (["status", {str(first)!r}], ["compare", {str(first)!r}, {str(second)!r}]):
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    print(words[0], sorted({{"torch", "h5py", "matplotlib"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["status []", "compare []"]
