"""Whoever computes, and whatever happens meanwhile: the bytes of an undisturbed build."""

import os
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from distributed import Client

import mol_pipeline
from mol_pipeline.config import (
    AlignmentConfig,
    BuildConfig,
    DetectionConfig,
    SamplingConfig,
    ShardConfig,
)
from mol_pipeline.contract.errors import ConfigError, SourceError, StageError
from mol_pipeline.contract.manifest_file import MANIFEST_NAME
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.graph import build, tasks
from mol_pipeline.graph import fitness as fitness_module
from mol_pipeline.graph import run as run_module
from mol_pipeline.graph.fitness import UnfitWorker
from tests.engines import content, dask_cluster, wait_for_workers, worker_process
from tests.fakes import FakeClip, write_samm_tree

CONFIG = BuildConfig(sampling=SamplingConfig(frames=2), shards=ShardConfig(videos_per_shard=2))
OTHER_CONFIG = CONFIG.model_copy(update={"alignment": AlignmentConfig(reference="video")})
CLIPS = [FakeClip(f"{s:03d}_1_1", 1, 2, 2, "Anger", shift_px=1 + s % 3) for s in range(6, 12)]
OTHERS = [FakeClip(f"{s:03d}_2_1", 1, 2, 2, "Surprise", shift_px=2) for s in range(6, 8)]


class Killed(BaseException):
    """Stands for the end of the builder's process; nothing of the project catches it."""


def killed_after(videos):
    def listen(progress):
        if progress.done >= videos:
            raise Killed

    return listen


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Root and bytes of a build on one worker of one thread; the same for another database."""
    base = tmp_path_factory.mktemp("alone")
    roots, expected = [], []
    with dask_cluster() as (options, _):
        for name, clips in (("one", CLIPS), ("other", OTHERS)):
            roots.append(write_samm_tree(base / name, clips, real_faces=True))
            build(Samm().index(roots[-1]), CONFIG, base / f"{name}-out", cluster=options)
            expected.append(content(base / f"{name}-out"))
    assert len(expected[0]) == 4 and expected[0] != expected[1]
    return roots, expected


@pytest.mark.parametrize(("workers", "threads"), [(1, 4), (2, 2)])
def test_workers_of_several_threads_give_the_same_bytes(alone, tmp_path, workers, threads):
    (root, _), (expected, _) = alone
    with dask_cluster(workers, threads) as (options, _):
        build(Samm().index(root), CONFIG, tmp_path / "out", cluster=options)
    assert content(tmp_path / "out") == expected


def test_builds_on_one_scheduler_do_not_meet(alone, tmp_path):
    roots, expected = alone
    failures = []

    def work(number, name):
        try:
            build(Samm().index(roots[number]), CONFIG, tmp_path / name, cluster=options)
        except BaseException as error:
            failures.append(error)

    with dask_cluster(2, 1) as (options, _):
        jobs = [threading.Thread(target=work, args=one) for one in ((0, "a"), (1, "b"), (0, "c"))]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
    assert not failures
    assert content(tmp_path / "a") == content(tmp_path / "c") == expected[0]
    assert content(tmp_path / "b") == expected[1]


def test_a_scheduler_that_drops_everything_costs_time_only(alone, tmp_path):
    (root, _), (expected, _) = alone
    restarted = []

    def restart(progress):
        if progress.done >= 2 and not restarted:
            restarted.append(True)
            with Client(options.scheduler, set_as_default=False) as client:
                client.restart(wait_for_workers=False)

    with dask_cluster(2, 1, processes=True) as (options, _):
        build(Samm().index(root), CONFIG, tmp_path / "out", cluster=options, on_progress=restart)
    assert restarted
    assert content(tmp_path / "out") == expected


def test_a_task_that_outlives_its_builder_changes_nothing(alone, tmp_path, monkeypatch):
    (root, _), (expected, _) = alone
    commissions = []
    real = run_module.Commission
    monkeypatch.setattr(
        run_module, "Commission", lambda **all_: commissions.append(real(**all_)) or commissions[-1]
    )
    index, out = Samm().index(root), tmp_path / "out"
    with dask_cluster(1, 1) as (options, _):
        with pytest.raises(Killed):
            build(index, OTHER_CONFIG, out, cluster=options, on_progress=killed_after(2))
        build(index, CONFIG, out, cluster=options, overwrite=True)
    stale, _ = commissions
    for number, video in enumerate(index.videos):
        with pytest.raises(UnfitWorker, match=f"does not see {stale.folder.path}"):
            tasks.prepare(stale, number, video)
    assert content(out) == expected
    assert not stale.folder.path.exists()


def test_a_stale_task_that_still_writes_is_not_read(alone, tmp_path, monkeypatch):
    """It got past the question whether its folder is there, and writes when it is gone."""
    (root, _), (expected, _) = alone
    index, out = Samm().index(root), tmp_path / "out"
    with dask_cluster(1, 1) as (options, _):
        with pytest.raises(Killed):
            build(index, CONFIG, out, cluster=options, on_progress=killed_after(3))
        (folder,) = [one for one in (out / ".build").glob("*/*") if one.is_dir()]
        elsewhere = tmp_path / "copy"
        shutil.copytree(folder, elsewhere)
        for path in elsewhere.glob("*.npz"):
            path.write_bytes(b"of a task that nobody waits for")

        def write_again(progress):
            if not folder.exists():  # the new run has adopted it
                shutil.copytree(elsewhere, folder)

        build(index, CONFIG, out, cluster=options, on_progress=write_again)
    assert content(out) == expected


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap(path):
    other = next(one for one in path.parent.glob(f"*{path.suffix}") if one != path)
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


DAMAGES = [
    flip,
    swap,
    lambda path: os.truncate(path, 40),
    lambda path: os.truncate(path, 0),
    lambda path: path.unlink(),
]


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_damaged_files_on_the_way_are_made_again(alone, tmp_path, suffix):
    (root, _), _ = alone
    # One shard for all, so that every video waits for the last.
    config = CONFIG.model_copy(update={"shards": ShardConfig(videos_per_shard=len(CLIPS))})
    index, out = Samm().index(root), tmp_path / "out"
    with dask_cluster(1, 2) as (options, _):
        whole = build(index, config, tmp_path / "whole", cluster=options)
        with pytest.raises(Killed):
            build(index, config, out, cluster=options, on_progress=killed_after(len(CLIPS)))
        waiting = sorted((out / ".build").glob(f"*/*/0*{suffix}"))
        for damage, path in zip(DAMAGES, waiting, strict=False):
            damage(path)
        assert len(waiting) >= len(DAMAGES)
        build(index, config, out, cluster=options)
    assert not whole.manifest.rejected
    assert content(out) == content(tmp_path / "whole")


def test_a_frame_without_a_face_ends_every_run_that_says_so(tmp_path):
    root = write_samm_tree(tmp_path / "root", CLIPS[:2], real_faces=True)
    frame = next((root / "SAMM/007/007_1_1").glob("*.jpg"))
    cv2.imwrite(str(frame), np.full((240, 240), 127, np.uint8))
    config = CONFIG.model_copy(update={"detection": DetectionConfig(no_face="fail")})
    with dask_cluster(1, 1) as (options, _):
        for _ in range(3):
            with pytest.raises(StageError, match="samm/007/007_1_1: a frame has no face"):
                build(Samm().index(root), config, tmp_path / "out", cluster=options)
    assert not (tmp_path / "out" / MANIFEST_NAME).exists()


def test_an_output_that_is_removed_meanwhile_is_named(alone, tmp_path):
    (root, _), _ = alone
    out = tmp_path / "out"

    def remove(progress):
        if progress.done == 2:
            shutil.rmtree(out)

    with dask_cluster(1, 1) as (options, _), pytest.raises(StageError, match="was removed"):
        build(Samm().index(root), CONFIG, out, cluster=options, on_progress=remove)


def test_relative_paths_mean_the_same_on_workers_elsewhere(alone, tmp_path, monkeypatch):
    (root, _), (expected, _) = alone
    monkeypatch.chdir(tmp_path)
    model = Path(os.path.relpath(fitness_module.find_landmark_model(), tmp_path))
    with dask_cluster(workers=0) as (options, cluster):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        with worker_process(cluster.scheduler_address, elsewhere, name="far"):
            wait_for_workers(cluster, 1)
            build(
                Samm().index(Path(os.path.relpath(root, tmp_path))),
                CONFIG,
                Path("out"),
                cluster=options,
                landmark_model=model,
            )
    assert content(tmp_path / "out") == expected


OLD_LIBRARY = """
import importlib.metadata as m
m.version = lambda name, real=m.version: "0.1.2" if name == "av" else real(name)
"""
ELSEWHERE = """
from pathlib import Path
Path.is_dir = lambda self, real=Path.is_dir: str(self) != {root!r} and real(self)
"""
OTHER_PROCESSOR = "import cv2; cv2.setUseOptimized(False)"


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ("library", "worker .* has av 0.1.2 instead of"),
        ("code", "worker .* has another state of the source files of mol_pipeline"),
        ("absent", "worker .* cannot run this program .*mol_pipeline"),
        ("disk", "worker odd at .* does not see"),
    ],
)
def test_a_worker_unlike_the_builder_is_refused_by_name(alone, tmp_path, difference, words):
    (root, _), _ = alone
    preload, path = "", None
    if difference == "library":
        preload = OLD_LIBRARY
    elif difference == "disk":
        preload = ELSEWHERE.format(root=str(root))
    else:
        path = tmp_path / "code"
        if difference == "code":
            shutil.copytree(Path(mol_pipeline.__file__).parent, path / "mol_pipeline")
            with (path / "mol_pipeline/graph/batch.py").open("a") as file:
                file.write("\n# another commit\n")
        else:
            (path / "mol_pipeline").mkdir(parents=True)
            (path / "mol_pipeline/__init__.py").touch()
    with (
        dask_cluster(workers=0) as (options, cluster),
        worker_process(cluster.scheduler_address, tmp_path, name="odd", preload=preload, path=path),
    ):
        wait_for_workers(cluster, 1)
        with pytest.raises(ConfigError, match=words):
            build(Samm().index(root), CONFIG, tmp_path / "out", cluster=options)


def test_workers_that_compute_other_numbers_are_not_mixed(alone, tmp_path):
    (root, _), _ = alone
    with dask_cluster(workers=0) as (options, cluster):
        address = cluster.scheduler_address
        with (
            worker_process(address, tmp_path, name="plain"),
            worker_process(address, tmp_path, name="odd", preload=OTHER_PROCESSOR),
        ):
            wait_for_workers(cluster, 2)
            with pytest.raises(ConfigError, match="compute different numbers from one picture"):
                build(Samm().index(root), CONFIG, tmp_path / "out", cluster=options)


def test_what_every_video_lacks_ends_the_build_and_rejects_none(alone, tmp_path, monkeypatch):
    (root, _), _ = alone

    def absent(*_, **__):
        raise SourceError("network.dat not found: run 'pip install ...'")

    monkeypatch.setattr(tasks, "prepare_video", absent)
    with dask_cluster(1, 1) as (options, _), pytest.raises(SourceError, match="network"):
        build(Samm().index(root), CONFIG, tmp_path / "out", cluster=options)


def test_another_model_under_the_same_path_is_found_out(tmp_path):
    with pytest.raises(SourceError, match="has no landmark model with SHA-256"):
        fitness_module.model_here(Path(__file__), "0" * 64)
    found = fitness_module.find_landmark_model()
    digest = fitness_module.landmark_model_sha256(found)
    assert fitness_module.model_here(tmp_path / "not there", digest) == found
