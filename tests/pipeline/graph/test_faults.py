"""Whatever dies, the next run ends with the bytes of an undisturbed build, or a named error."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from distributed import as_completed

from mol_pipeline.config import BuildConfig, SamplingConfig, ShardConfig
from mol_pipeline.contract.errors import ConfigError, StageError
from mol_pipeline.contract.manifest_file import MANIFEST_NAME, read_manifest
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.graph import ClusterOptions, build
from mol_pipeline.graph import cluster as cluster_module
from mol_pipeline.graph.cluster import connect
from mol_pipeline.shards.files import shard_problems
from tests.engines import content
from tests.fakes import FakeClip, write_samm_tree
from tests.tally import tally

CONFIG = BuildConfig(sampling=SamplingConfig(frames=2), shards=ShardConfig(videos_per_shard=2))
CLIPS = [FakeClip(f"{s:03d}_1_1", 1, 2, 4, "Anger", shift_px=1) for s in range(6, 14)]
KILLS = int(os.environ.get("MOL_TEST_KILLS", "4"))
"""Moments at which the main process is killed; MOL_TEST_KILLS=20 for the long version."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    base = tmp_path_factory.mktemp("faults")
    root = write_samm_tree(base / "root", CLIPS, real_faces=True)
    build(Samm().index(root), CONFIG, base / "out", cluster=ClusterOptions(workers=2))
    return root, content(base / "out")


def command(root, out, **environment):
    return subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("molprep")), "build", "--dataset", "samm"),
            *("--root", str(root), "--out", str(out), "--workers", "2"),
            *("--set", "sampling.frames=2", "--set", "shards.videos_per_shard=2"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_a_killed_worker_is_replaced(undisturbed, tmp_path):
    root, expected = undisturbed
    killed = []

    def kill_one(progress):
        if progress.done >= 1 and not killed:
            children = psutil.Process().children(recursive=True)
            workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
            killed.append(workers[0].pid)
            workers[0].kill()

    build(
        Samm().index(root),
        CONFIG,
        tmp_path,
        cluster=ClusterOptions(workers=2),
        on_progress=kill_one,
    )
    assert killed
    assert content(tmp_path) == expected


@pytest.mark.timeout(60 + 30 * KILLS)
def test_the_main_process_is_killed_again_and_again(undisturbed, tmp_path):
    root, expected = undisturbed
    chance = random.Random(0)
    with tally("SIGKILL of molprep build") as tried:
        for _ in range(KILLS):
            process = command(root, tmp_path / "out")
            try:
                process.communicate(timeout=chance.uniform(1.0, 7.0))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
            with tried():  # never half a file under its name
                for name, data in content_so_far(tmp_path / "out").items():
                    assert data == expected[name], name
    _wait_for_orphans()
    last = command(root, tmp_path / "out")
    _, stderr = last.communicate(timeout=120)
    assert last.returncode == 0, stderr
    assert content(tmp_path / "out") == expected
    assert not list((tmp_path / "out").glob(".*.part"))


def content_so_far(out):
    return {path.name: path.read_bytes() for path in out.glob("*.h5")} if out.is_dir() else {}


def _wait_for_orphans():
    """Workers notice that their scheduler is gone within seconds; a new run need not wait."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and any(
        "spawn_main" in " ".join(one.info["cmdline"] or ()) and one.ppid() == 1
        for one in psutil.process_iter(["cmdline"])
    ):
        time.sleep(0.2)


@pytest.mark.parametrize(
    "environment", [{"TZ": "Pacific/Apia", "LC_ALL": "C"}, {"LANG": "tr_TR.UTF-8", "TZ": "UTC-13"}]
)
def test_clock_and_locale_change_nothing(undisturbed, tmp_path, environment):
    root, expected = undisturbed
    process = command(root, tmp_path / "out", **environment)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert content(tmp_path / "out") == expected


def test_a_limit_under_which_no_worker_can_live_is_refused(undisturbed, tmp_path):
    root, _ = undisturbed
    for limit, words in (("180MiB", "a worker needs 450 MiB"), ("much", "is no size")):
        with pytest.raises(ConfigError, match=words):
            build(
                Samm().index(root),
                CONFIG,
                tmp_path / limit,
                cluster=ClusterOptions(memory_limit=limit),
            )


def test_a_worker_that_runs_out_of_memory_costs_its_video_only(undisturbed, tmp_path):
    root, expected = undisturbed
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    frame = copy / "SAMM/009/009_1_1/009_00001.jpg"
    huge = np.zeros((7900, 8000), dtype=np.uint16)  # as large as is read; 8 bits come on top
    huge[::2, ::2] = 4095
    frame.write_bytes(cv2.imencode(".png", huge)[1].tobytes())
    starved = ClusterOptions(workers=1, memory_limit="600MiB")
    result = build(Samm().index(copy), CONFIG, tmp_path / "out", cluster=starved)
    (crashed,) = result.manifest.rejected
    assert (crashed.clip, crashed.code) == ("009_1_1", "crashed")
    assert "KilledWorker" in crashed.message
    assert (tmp_path / "out/shard-00000.h5").read_bytes() == expected["shard-00000.h5"]


@pytest.mark.parametrize("replacements", [3, 0])
def test_a_local_worker_that_is_lost_for_good_is_replaced(monkeypatch, replacements):
    monkeypatch.setattr(cluster_module, "NO_WORKER_FOR", 6.0 if replacements else 1.0)
    monkeypatch.setattr(cluster_module, "COUNT_WORKERS_EVERY", 0.2)
    monkeypatch.setattr(cluster_module, "MOST_REPLACEMENTS", replacements)
    with connect(ClusterOptions(workers=1)) as crew:
        for nanny in list(crew.local.workers.values()):
            crew.local.sync(nanny.close)  # as when the restart of its worker fails
        pool = as_completed([crew.client.submit(pow, 2, 5)])
        if replacements:
            assert [future.result() for future in crew.finished(pool)] == [32]
        else:
            with pytest.raises(StageError, match="no worker could be kept running"):
                list(crew.finished(pool))


def test_a_full_disk_is_named_and_nothing_half_written_stays(undisturbed, tmp_path, monkeypatch):
    root, expected = undisturbed
    out = tmp_path / "small"
    out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(out)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here without being root")
    try:
        with pytest.raises(StageError, match="make room and run again"):
            build(Samm().index(root), CONFIG, out, cluster=ClusterOptions(workers=1))
        assert not (out / MANIFEST_NAME).exists()
        for name, data in content_so_far(out).items():
            assert data == expected[name]
        subprocess.run(["mount", "-o", "remount,size=50m", str(out)], check=True)
        build(Samm().index(root), CONFIG, out, cluster=ClusterOptions(workers=1))
        assert content(out) == expected
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)


def test_one_damaged_frame_in_a_hundred_costs_its_videos_only(undisturbed, tmp_path):
    root, expected = undisturbed
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    (copy / "SAMM/009/009_1_1/009_00002.jpg").write_bytes(b"\xff\xd8\xff broken")
    result = build(Samm().index(copy), CONFIG, tmp_path / "out", cluster=ClusterOptions(workers=2))
    assert [(one.clip, one.code) for one in result.manifest.rejected] == [
        ("009_1_1", "unreadable-frame")
    ]
    untouched = "shard-00000.h5"
    assert (tmp_path / "out" / untouched).read_bytes() == expected[untouched]
    manifest = read_manifest(tmp_path / "out")
    assert list(shard_problems(tmp_path / "out", manifest.shards)) == []


def test_two_builds_in_one_directory_do_not_meet(undisturbed, tmp_path):
    root, expected = undisturbed
    errors = []

    def second():
        try:
            build(Samm().index(root), CONFIG, tmp_path, cluster=ClusterOptions(workers=1))
        except Exception as error:
            errors.append(str(error))

    started = threading.Event()

    def begin(progress):
        if not started.is_set():
            started.set()
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()

    build(
        Samm().index(root), CONFIG, tmp_path, cluster=ClusterOptions(workers=1), on_progress=begin
    )
    assert len(errors) == 1
    assert "another build is running there" in errors[0]
    assert content(tmp_path) == expected
