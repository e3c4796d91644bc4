"""A Dask cluster of processes of this machine, for one build and nobody else.

A Dask process executes what its peers send, and other people may be logged in here. So all of
them listen on loopback only, speak TLS, and admit those alone that hold the key of this build,
which is made for it and exists in memory. What workers put on disk lies in a folder that only
its owner can enter; Dask also looks there for modules to import.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import dask
from distributed import LocalCluster, Security, Status

from mol_pipeline.contract.errors import ConfigError, StageError
from mol_pipeline.contract.files import private_folder
from mol_pipeline.contract.stopping import only_noted
from mol_pipeline.graph.dask_settings import (
    DASK_SETTINGS,
    LOOPBACK,
    PRELOAD,
    check_worker_memory,
)


@contextlib.contextmanager
def local_cluster(workers: int | None, memory_limit: str) -> Iterator[LocalCluster]:
    """Processes of one thread on this machine; leaving it ends them.

    Args:
        workers: How many; one a core if None.
        memory_limit: Of each, as Dask spells it.

    Raises:
        ConfigError: If a worker cannot live under the limit, or keys cannot be made.
        StageError: If the processes cannot be started.
    """
    check_worker_memory(memory_limit)
    security = temporary_security()
    scratch = private_scratch()
    with dask.config.set({"temporary-directory": str(scratch), **DASK_SETTINGS}):
        # A signal would end the constructor and leave a cluster that nobody can close.
        with only_noted():
            cluster = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                host=LOOPBACK,
                security=security,
                dashboard_address=f"{LOOPBACK}:0",
                local_directory=str(scratch),
                memory_limit=memory_limit,
                silence_logs=logging.CRITICAL,
                preload=[PRELOAD],
            )
        try:
            _start_workers(cluster, workers or os.cpu_count() or 1)
            yield cluster
        finally:
            with only_noted():
                scheduler = cluster.scheduler
                if scheduler is not None and scheduler.status != Status.running:
                    cluster.shutdown_scheduler = False  # it would be asked for half a minute
                cluster.close()


def _start_workers(cluster: LocalCluster, workers: int) -> None:
    """Wait until all of them are there.

    Raises:
        StageError: If one cannot be started.
    """

    async def start() -> None:
        cluster.scale(workers)
        await cluster

    try:
        cluster.sync(start)
    except (OSError, RuntimeError, TimeoutError) as error:
        raise StageError(
            f"no worker process can be started ({' '.join(str(error).split())}); use fewer "
            "--workers or look at the limits of this account ('ulimit -a')"
        ) from error


def temporary_security() -> Security:
    """A key that admits to one cluster, in memory.

    Raises:
        ConfigError: If it cannot be made here.
    """
    try:
        return Security.temporary()
    except ImportError as error:
        raise ConfigError(
            f"keys for Dask cannot be made ({error}); pip install 'mol-micro-expression[prep]'"
        ) from error


def private_scratch() -> Path:
    """A folder of this user for what workers put on disk.

    It is the same for all builds: Dask clears in it what processes left that were killed.
    """
    return private_folder("molprep")
