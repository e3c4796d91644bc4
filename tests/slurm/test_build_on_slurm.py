"""`molprep build` in real SLURM jobs: the bytes of a local build, whatever happens to the jobs."""

import re
import signal
import subprocess
import sys
import time

import pytest

from tests.dask_over_tls import dask_over_tls, our_options
from tests.engines import content
from tests.fakes import FakeClip, write_samm_tree
from tests.slurm.conftest import (
    JOINED,
    NODES,
    SCRIPTS,
    jobs,
    slurm,
    start_again_soon,
    wait_for_end,
    wait_until,
)

CLIPS = [FakeClip(f"{s:03d}_1_1", 1, 2, 6, "Anger", shift_px=1) for s in range(6, 16)]
NETWORK = (
    {"interface": "mol0", "scheduler_interface": "mol-bridge"} if JOINED else {"interface": "lo"}
)
SETTINGS = ["--set", "sampling.frames=2", "--set", "shards.videos_per_shard=2"]


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A database, and the bytes of its local build."""
    base = tmp_path_factory.mktemp("slurm")
    root = write_samm_tree(base / "root", CLIPS, real_faces=True)
    done = molprep(root, base / "local", "--workers", "2")
    output, _ = done.communicate(timeout=300)
    assert done.returncode == 0, output
    return root, content(base / "local")


def molprep(root, out, *options):
    command = ["molprep", "build", "--dataset", "samm", "--root", root, "--out", out]
    return subprocess.Popen(
        list(map(str, [*command, *SETTINGS, *options])),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def cluster_file(directory, **settings):
    """A cluster file for this machine."""
    settings = {
        "scheduler": "slurm",
        **NETWORK,
        "minimum_jobs": 2,
        "maximum_jobs": 3,
        "memory": "1GiB",
        "walltime": '"00:30:00"',
        "log_directory": directory / "logs",
        **settings,
    }
    path = directory / "cluster.yaml"
    path.write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    return path


def logs(directory):
    return sorted((directory / "logs").glob("molprep-*.err"))


def finished_videos(directory):
    """Videos prepared so far, by the files that wait for their shard and the shards."""
    out = directory / "out"
    return len(list(out.glob(".build/*.npz"))) + 2 * len(list(out.glob("shard-*.h5")))


def test_one_process_a_local_cluster_tls_and_slurm_give_the_same_bytes(local, tmp_path):
    root, expected = local  # of a local cluster
    alone = molprep(root, tmp_path / "alone", "--workers", "1")
    output, _ = alone.communicate(timeout=300)
    assert alone.returncode == 0, output
    with dask_over_tls(tmp_path) as (address, files):
        options = ["--scheduler", address, *our_options(files)]
        shared = molprep(root, tmp_path / "shared", *options)
        output, _ = shared.communicate(timeout=300)
    assert shared.returncode == 0, output
    build = molprep(root, tmp_path / "out", "--cluster", cluster_file(tmp_path))
    output, _ = build.communicate(timeout=300)
    assert build.returncode == 0, output
    assert 2 <= len(logs(tmp_path)) <= 3
    workers = {
        re.search(r"Start worker at: +(\S+):\d+", one.read_text())[1] for one in logs(tmp_path)
    }
    assert len(workers) == NODES, workers
    assert len(expected) == 6
    for name in ("alone", "shared", "out"):
        assert content(tmp_path / name) == expected
    wait_until(lambda: not jobs(), 30, "the jobs to end")
    assert not list((tmp_path / "logs").glob(".keys-*"))


def test_a_killed_job_of_two_workers_is_replaced(local, tmp_path):
    root, expected = local
    path = cluster_file(tmp_path, cores=2, memory="2GiB", minimum_jobs=1, maximum_jobs=1)
    build = molprep(root, tmp_path / "out", "--cluster", path)
    wait_until(lambda: finished_videos(tmp_path) >= 2, 120, "the first videos")
    (job,) = jobs()
    slurm("scancel", job)
    output, _ = build.communicate(timeout=300)
    assert build.returncode == 0, output
    assert content(tmp_path / "out") == expected
    assert len(logs(tmp_path)) == 2


def test_workers_retire_before_the_walltime_and_are_replaced(local, tmp_path):
    root, expected = local
    path = cluster_file(
        tmp_path,
        minimum_jobs=1,
        maximum_jobs=1,
        walltime='"00:01:00"',
        retire_before="53s",
        stagger="1s",
    )
    build = molprep(root, tmp_path / "out", "--cluster", path)
    output, _ = build.communicate(timeout=400)
    assert build.returncode == 0, output
    assert content(tmp_path / "out") == expected
    assert len(logs(tmp_path)) >= 2
    assert "Closing worker gracefully" in logs(tmp_path)[0].read_text()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_cancels_its_jobs_and_continues(local, tmp_path, how):
    root, expected = local
    path = cluster_file(tmp_path)
    build = molprep(root, tmp_path / "out", "--cluster", path)
    wait_until(lambda: finished_videos(tmp_path) >= 2, 120, "the first videos")
    build.send_signal(how)
    output, _ = build.communicate(timeout=60)
    assert build.returncode == {signal.SIGINT: 130, signal.SIGTERM: 75}[how], output
    wait_until(lambda: not jobs(), 30, "the jobs to be cancelled")
    again = molprep(root, tmp_path / "out", "--cluster", path)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert content(tmp_path / "out") == expected


def test_a_wrong_partition_is_named_at_once(local, tmp_path):
    root, _ = local
    build = molprep(root, tmp_path / "out", "--cluster", cluster_file(tmp_path, queue="nowhere"))
    output, _ = build.communicate(timeout=60)
    assert build.returncode == 3
    assert "sbatch refuses the job (sbatch: error: invalid partition specified" in output
    assert "Traceback" not in output


def test_a_job_that_dies_at_once_is_named_with_the_end_of_its_log(local, tmp_path):
    root, _ = local
    begun = time.monotonic()
    path = cluster_file(tmp_path, minimum_jobs=1, python="/no/such/python")
    build = molprep(root, tmp_path / "out", "--cluster", path)
    output, _ = build.communicate(timeout=120)
    assert build.returncode == 3, output
    assert "ended with exit code 127; its log" in output and "/no/such/python: No such" in output
    assert "Traceback" not in output
    assert time.monotonic() - begun < 60


def test_every_path_may_hold_spaces_quotes_and_dollars(local, tmp_path):
    root, expected = local
    lab = tmp_path / 'my lab\'s $data "é" 50%'
    lab.mkdir()
    python = lab / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    path = cluster_file(lab, minimum_jobs=1, python=python, scratch_directory=lab / "scratch")
    build = molprep(root, lab / "out", "--cluster", path)
    output, _ = build.communicate(timeout=300)
    assert build.returncode == 0, output
    assert content(lab / "out") == expected
    assert logs(lab)
    assert {one.name for one in tmp_path.iterdir()} == {lab.name}


def test_an_array_of_parts_and_its_merge_give_the_bytes_of_a_local_build(local, tmp_path):
    root, expected = local
    script = tmp_path / "build-array.sbatch"
    # One CPU a task, so that they run beside each other here.
    text = (SCRIPTS / script.name).read_text().replace("--cpus-per-task=4", "--cpus-per-task=1")
    script.write_text(text.replace("--mem=8G", "--mem=2G"))
    said = slurm(
        *("bash", script, 3, tmp_path / "whole", "--dataset", "samm", "--root", root, *SETTINGS)
    )
    array, merge = re.search(r"array (\d+): 3 parts; then job (\d+) joins", said).groups()
    assert wait_for_end(array) == {"COMPLETED"}
    assert wait_for_end(merge) == {"COMPLETED"}
    assert content(tmp_path / "whole") == expected


def test_a_build_on_one_node_queues_itself_again_and_continues(local, tmp_path):
    root, expected = local
    job = slurm(
        *("sbatch", "--parsable", "--cpus-per-task=2", "--mem=2G"),
        *(f"--output={tmp_path / 'log'}", SCRIPTS / "build.sbatch"),
        *("--dataset", "samm", "--root", root, "--out", tmp_path / "out", *SETTINGS),
    )
    wait_until(lambda: finished_videos(tmp_path) >= 2, 120, "the first videos")
    slurm("scancel", "--batch", "--signal=USR1", job)
    start_again_soon(job)
    assert (tmp_path / "log").read_text().count("stopped on request: what is finished is kept") == 1
    assert wait_for_end(job, 240) == {"COMPLETED"}, (tmp_path / "log").read_text()
    assert content(tmp_path / "out") == expected
