"""Engines that a build may run on, and what may happen to it there."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from distributed import LocalCluster

from mol_pipeline.contract.manifest_file import MANIFEST_NAME
from mol_pipeline.graph import ClusterOptions


def content(directory):
    """Every file of a finished build, by name."""
    paths = [*directory.glob("*.h5"), directory / MANIFEST_NAME]
    return {path.name: path.read_bytes() for path in paths}


@contextlib.contextmanager
def dask_cluster(workers=1, threads=1, *, processes=False, adaptive=False, **options):
    """A running scheduler of other people, with workers of several threads.

    Without `processes` its workers are threads of this process, which start at once.
    """
    with LocalCluster(
        n_workers=0 if adaptive else workers,
        threads_per_worker=threads,
        processes=processes,
        dashboard_address="127.0.0.1:0",
        protocol="tcp://",  # also without processes: a scheduler with an address
        host="127.0.0.1",
        **options,
    ) as cluster:
        if adaptive:
            cluster.adapt(minimum=0, maximum=workers, interval="200ms", wait_count=2)
        yield ClusterOptions(scheduler=cluster.scheduler_address), cluster


@contextlib.contextmanager
def worker_process(address, directory, *, name, preload="", path=None, cwd=None):
    """A `dask worker` in a process of its own, as others start it.

    Args:
        address: Of the scheduler.
        directory: For what it writes itself.
        name: Under which messages know it.
        preload: Python that it runs first.
        path: Comes first among the folders where it looks for modules.
        cwd: Its working directory.
    """
    script = directory / f"{name}_preload.py"
    script.write_text(preload)
    paths = [str(path)] if path else []
    paths += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    process = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("dask")), "worker", address),
            *("--name", name, "--nthreads", "1", "--no-dashboard", "--no-nanny"),
            *("--local-directory", str(directory), "--host", "127.0.0.1"),
            *("--preload", str(script)),
        ],
        stderr=subprocess.DEVNULL,
        cwd=cwd or directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=20)


def wait_for_workers(cluster, count, seconds=60):
    """Until so many workers have joined."""
    deadline = time.monotonic() + seconds
    while len(cluster.scheduler.workers) < count:
        assert time.monotonic() < deadline, "the workers do not start"
        time.sleep(0.1)
