"""The same bytes on every engine and in every weather: `make test-engines` prints the table.

CI runs a dozen of these builds; MOL_TEST_ENGINES=all runs them all.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster, Security

from mol_pipeline.config import BuildConfig, SamplingConfig, ShardConfig
from mol_pipeline.contract.errors import StageError
from mol_pipeline.contract.manifest_file import MANIFEST_NAME
from mol_pipeline.databases.adapters.custom import Custom
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.databases.demo import write_demo
from mol_pipeline.graph import ClusterOptions, TlsFiles, build
from tests.chaos import weather
from tests.chaos.table import note
from tests.dask_over_tls import pem_files
from tests.engines import content
from tests.fakes import face_photograph

ALL = os.environ.get("MOL_TEST_ENGINES") == "all"
CONFIG = BuildConfig(
    sampling=SamplingConfig(frames=2, phases="centre"), shards=ShardConfig(videos_per_shard=3)
)
SETTINGS = ["sampling.frames=2", "sampling.phases=centre", "shards.videos_per_shard=3"]
REPOSITORY = Path(__file__).parents[2]


def write_films(root):
    """Own videos of a photograph that moves, each otherwise: films and folders of frames."""
    root.mkdir()
    photograph = face_photograph()[20:260, 100:340]
    rows = ["path,subject,label"]
    for number in range(6):
        frames = [
            np.roll(photograph, step * (1 + number % 3), axis=number % 2) for step in range(3)
        ]
        name = f"film {number}.avi" if number % 2 else f"frames {number}"
        if number % 2:
            write_film(root / name, frames)
        else:
            (root / name).mkdir()
            for step, frame in enumerate(frames):
                cv2.imwrite(str(root / name / f"{step:03d}.png"), frame)
        rows.append(f"{name},person {number % 3},{'surprise' if number % 2 else 'happiness'}")
    (root / "films.csv").write_text("\n".join(rows))
    return root


def write_film(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height = frames[0].shape[::-1]
        stream.pix_fmt = "yuvj420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.stack([frame] * 3, axis=-1), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    """Name -> (adapter, root, bytes of a build in one process of one thread)."""
    base = tmp_path_factory.mktemp("databases")
    adapters = {"custom": Custom()}
    write_films(base / "custom")
    if ALL:
        adapters["demo"] = Samm()
        write_demo(base / "demo", subjects=1, seed=0)
    found = {}
    for name, adapter in adapters.items():
        root = base / name
        with engine("processes", 1, 1, base) as (options, _):
            build(adapter.index(root), CONFIG, base / f"{name}-out", cluster=options)
        found[name] = adapter, root, content(base / f"{name}-out")
        assert len(found[name][2]) >= 3
    return found


@contextmanager
def engine(kind, workers, threads, base, preload=""):
    """Options of a build on an engine, and the cluster if it is one of other people."""
    if kind == "local":
        yield ClusterOptions(workers=workers), None
        return
    extra = {}
    tls = None
    if kind == "TLS":
        security, tls = certificates(base)
        extra = {"security": security, "protocol": "tls"}
    if preload:
        script = base / "preload.py"
        script.write_text(preload)
        extra["preload"] = [str(script)]
    with LocalCluster(
        n_workers=0 if kind == "adaptive" else workers,
        threads_per_worker=threads,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
        **extra,
    ) as cluster:
        if kind == "adaptive":
            cluster.adapt(minimum=0, maximum=workers, interval="200ms", wait_count=2)
        yield ClusterOptions(scheduler=cluster.scheduler_address, tls=tls), cluster


def certificates(base):
    files = pem_files(base)
    roles = ("scheduler", "worker", "client")
    security = Security(
        require_encryption=True,
        tls_ca_file=str(files["ca"]),
        **{f"tls_{role}_cert": str(files["cert"]) for role in roles},
        **{f"tls_{role}_key": str(files["key"]) for role in roles},
    )
    return security, TlsFiles(**files)


CALM = [
    (database, kind, workers, threads)
    for database in ("demo", "custom")
    for kind in ("processes", "TLS", "adaptive", "local")
    for workers in (1, 2, 4)
    for threads in (1, 2, 4)
    if kind != "local" or threads == 1
]
QUICK = [("custom", "adaptive", 2, 2)]  # tests/pipeline has more in CI, also over TLS


@pytest.mark.parametrize(("database", "kind", "workers", "threads"), CALM if ALL else QUICK)
def test_every_engine_gives_the_same_bytes(databases, tmp_path, database, kind, workers, threads):
    adapter, root, expected = databases[database]
    with note(f"{kind}", f"{workers} x {threads}", database):
        with engine(kind, workers, threads, tmp_path) as (options, _):
            build(adapter.index(root), CONFIG, tmp_path / "out", cluster=options)
        assert content(tmp_path / "out") == expected


SEEDS = range(5) if ALL else range(1)
LONG = pytest.mark.skipif(not ALL, reason="long: MOL_TEST_ENGINES=all (another test is in CI)")


@LONG
@pytest.mark.parametrize("seed", SEEDS)
def test_workers_that_are_killed(databases, tmp_path, seed):
    adapter, root, expected = databases["custom"]
    chance = random.Random(seed)
    killed = []

    def kill(progress):
        if len(killed) < 2 and chance.random() < 0.5:
            workers = worker_processes()
            if workers:
                killed.append(chance.choice(workers))
                killed[-1].kill()

    with note("workers killed", "2 x 1", "custom"):
        build(
            adapter.index(root),
            CONFIG,
            tmp_path / "out",
            cluster=ClusterOptions(workers=2),
            on_progress=kill,
        )
        assert content(tmp_path / "out") == expected


def worker_processes():
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@LONG
@pytest.mark.parametrize("seed", SEEDS)
def test_a_scheduler_that_is_restarted(databases, tmp_path, seed):
    adapter, root, expected = databases["custom"]
    chance = random.Random(seed)
    restarts = []

    def restart(progress):
        if len(restarts) < 2 and progress.done and chance.random() < 0.5:
            restarts.append(progress.done)
            with Client(options.scheduler, set_as_default=False) as client:
                client.restart(wait_for_workers=False)

    with note("Client.restart", "2 x 2", "custom"):
        with engine("processes", 2, 2, tmp_path) as (options, _):
            build(
                adapter.index(root), CONFIG, tmp_path / "out", cluster=options, on_progress=restart
            )
        assert content(tmp_path / "out") == expected


@LONG
@pytest.mark.parametrize("seed", SEEDS)
def test_a_scheduler_that_is_killed_ends_the_build_with_a_name(databases, tmp_path, seed):
    adapter, root, expected = databases["custom"]
    noted = tmp_path / "scheduler.json"
    out = tmp_path / "out"
    chance = random.Random(seed)
    last = chance.randrange(1, 4)

    def kill(progress):
        if progress.done >= last:
            scheduler.kill()

    with note("scheduler killed", "1 x 1", "custom"), ExitStack() as stack:
        scheduler = stack.enter_context(
            dask("scheduler", "--port", "0", "--host", "127.0.0.1", "--scheduler-file", noted)
        )
        while not (noted.exists() and "tcp://" in noted.read_text()):
            time.sleep(0.1)
        address = noted.read_text().partition('"address": "')[2].partition('"')[0]
        stack.enter_context(
            dask("worker", address, "--nthreads", "1", "--local-directory", tmp_path)
        )
        with pytest.raises(StageError, match="is lost"):
            build(
                adapter.index(root),
                CONFIG,
                out,
                cluster=ClusterOptions(scheduler=address),
                on_progress=kill,
            )
        assert not (out / MANIFEST_NAME).exists()
        build(adapter.index(root), CONFIG, out, cluster=ClusterOptions(workers=1))
        assert content(out) == expected


@contextmanager
def dask(*arguments):
    process = subprocess.Popen(
        [Path(sys.executable).with_name("dask"), *map(str, arguments), "--no-dashboard"],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=20)


@LONG
@pytest.mark.parametrize("seed", SEEDS)
def test_a_builder_that_is_killed(databases, tmp_path, seed):
    adapter, root, expected = databases["custom"]
    out = tmp_path / "out"
    chance = random.Random(seed)
    with note("builder killed", "2 x 2", "custom"):
        with engine("processes", 2, 2, tmp_path) as (options, _):
            for _ in range(3):
                process = subprocess.Popen(
                    [
                        *(str(Path(sys.executable).with_name("molprep")), "build"),
                        *("--dataset", "custom", "--root", str(root), "--out", str(out)),
                        *("--scheduler", options.scheduler),
                        *(word for one in SETTINGS for word in ("--set", one)),
                    ],
                    stderr=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
                time.sleep(chance.uniform(1.5, 6.0))
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=20)
            build(adapter.index(root), CONFIG, out, cluster=options)
        assert content(out) == expected


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("database", ["custom", "demo"] if ALL else ["custom"])
def test_a_disk_that_stumbles(databases, tmp_path, database, seed):
    adapter, root, expected = databases[database]
    begin = f"""
import random, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.chaos import weather
weather.begin(weather.Weather(
    places=({str(root)!r}, {str(tmp_path / "out")!r}), failures=4, slowest_s=0.02,
    chance=random.Random({seed}),
))
"""
    with note("ESTALE, EIO, late answers", "2 x 2", database):
        with engine("processes", 2, 2, tmp_path, preload=begin) as (options, _):
            build(adapter.index(root), CONFIG, tmp_path / "out", cluster=options)
        assert content(tmp_path / "out") == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_a_disk_that_is_full_for_a_while(databases, tmp_path, seed):
    adapter, root, expected = databases["custom"]
    out = tmp_path / "out"
    begin = f"""
import errno, random, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.chaos import weather
weather.begin(weather.Weather(
    places=({str(out)!r},), failures=1, share=0.4, numbers=(errno.ENOSPC,), only_writing=True,
    chance=random.Random({seed}),
))
"""
    with note("ENOSPC", "1 x 2", "custom"):
        with engine("processes", 1, 2, tmp_path, preload=begin) as (options, _):
            index = adapter.index(root)
            with pytest.raises(StageError, match="the disk is full"):
                build(index, CONFIG, out, cluster=options)
            assert not (out / MANIFEST_NAME).exists()
            build(index, CONFIG, out, cluster=options)  # somebody made room
        assert content(out) == expected


def test_a_disk_that_stays_away_is_named_and_the_next_run_repairs_it(databases, tmp_path):
    adapter, root, expected = databases["custom"]
    out = tmp_path / "out"
    index = adapter.index(root)
    away = next(video for video in index.videos if video.folder.startswith("frames"))
    with note("one file away", "1 x 2", "custom"):
        gone = weather.Weather(places=(away.folder,), failures=10**6, share=1.0)
        with LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster:
            options = ClusterOptions(scheduler=cluster.scheduler_address)
            weather.begin(gone)
            try:
                result = build(index, CONFIG, out, cluster=options)
            finally:
                weather.end()
            (failed,) = result.failed_in_processing
            assert (failed.clip, failed.code) == (away.clip, "unreachable")
            assert len(result.manifest.videos) == len(index.videos) - 1
            again = build(index, CONFIG, out, cluster=options)
        assert not again.failed_in_processing
        assert again.shards_kept == len(again.manifest.shards) - 1
        assert content(out) == expected
