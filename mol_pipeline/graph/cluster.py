"""Where the work runs: processes of this machine, or a Dask cluster that runs already."""

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

import dask
import dask.utils
from distributed import Client, LocalCluster

from mol_pipeline.errors import ConfigError

logger = logging.getLogger(__name__)

LEAST_MEMORY = 450 * 2**20
"""Bytes a worker needs: interpreter, OpenCV, Dlib, its model of 100 MB, one large frame."""


@dataclass(frozen=True)
class ClusterOptions:
    """Where the work runs; changes nothing in what is written."""

    workers: int | None = None
    """Processes of the local cluster; one a core if None."""
    scheduler: str | None = None
    """Address of a running Dask scheduler, instead of a local cluster."""
    memory_limit: str = "auto"
    """Per worker, as Dask spells it (`2GiB`)."""
    retries: int = 2
    """How often a task is tried again after its worker died."""


def _check_memory(limit: str) -> None:
    """Refuse a limit under which no worker can live: Dask would restart them for ever.

    Raises:
        ConfigError: If the limit is no size, or too small.
    """
    if limit in {"auto", "0"}:
        return
    try:
        size = dask.utils.parse_bytes(limit)
    except ValueError as error:
        raise ConfigError(f"--memory-limit {limit}: is no size; write e.g. 2GiB") from error
    if size < LEAST_MEMORY:
        raise ConfigError(
            f"--memory-limit {limit}: a worker needs {LEAST_MEMORY / 2**20:.0f} MiB for its "
            "models alone; give more, or use fewer --workers"
        )


@contextlib.contextmanager
def connect(options: ClusterOptions) -> Iterator[Client]:
    """A client of the named scheduler, or of a local cluster of processes.

    Raises:
        ConfigError: If no scheduler answers.
    """
    if not logger.isEnabledFor(logging.DEBUG):
        logging.getLogger("distributed").setLevel(logging.ERROR)  # its own default is chatty
    if options.scheduler is not None:
        try:
            client = Client(options.scheduler, timeout="20s")
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"{options.scheduler}: no Dask scheduler answers there ({error}); "
                "start one with 'dask scheduler' or leave --scheduler out"
            ) from error
        with client:
            yield client
        return
    _check_memory(options.memory_limit)
    dask.config.set(
        {
            # A task whose worker died is tried elsewhere this often; then it is the task's fault.
            "distributed.scheduler.allowed-failures": options.retries,
            # Both keep an hour of history in every process; a build keeps its memory flat.
            "distributed.worker.profile.enabled": False,
            "distributed.admin.system-monitor.log-length": 120,
        }
    )
    cluster = LocalCluster(
        n_workers=options.workers or os.cpu_count() or 1,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=":0",
        memory_limit=options.memory_limit,
        silence_logs=logging.CRITICAL,
        preload=["mol_pipeline.graph.worker_setup"],
    )
    with cluster, Client(cluster) as client:
        yield client


def dashboard(client: Client) -> str:
    """Address of Dask's dashboard, empty where it would show nothing (without bokeh)."""
    return client.dashboard_link if importlib.util.find_spec("bokeh") else ""
