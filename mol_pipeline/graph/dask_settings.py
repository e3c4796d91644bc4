"""What every Dask of a build is told, wherever its workers run."""

import dask.utils

from mol_pipeline.contract.errors import ConfigError

LOOPBACK = "127.0.0.1"

PRELOAD = "mol_pipeline.graph.worker_setup"
"""Module that every worker loads first."""

DASK_SETTINGS: dict[str, object] = {
    # Both keep an hour of history in every process; a build keeps its memory flat.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.log-length": 120,
    # Every worker has a web server, which asks nobody who he is: it shows nothing.
    "distributed.worker.http.routes": [],
}

LEAST_MEMORY = 450 * 2**20
"""Bytes a worker needs: interpreter, OpenCV, Dlib, its model of 100 MB, one large frame."""


def check_worker_memory(limit: str, *, share: int = 1, option: str = "--memory-limit") -> None:
    """Refuse a limit under which no worker can live: Dask would restart them for ever.

    Args:
        limit: As Dask spells it (`2GiB`); `auto` and `0` set none.
        share: Workers that share it.
        option: Name of the setting, for the message.

    Raises:
        ConfigError: If the limit is no size, or too small.
    """
    if limit in {"auto", "0"}:
        return
    try:
        size = dask.utils.parse_bytes(limit)
    except ValueError as error:
        raise ConfigError(f"{option} {limit}: is no size; write e.g. 2GiB") from error
    if size < share * LEAST_MEMORY:
        shared = f" of the {share} that share it" if share > 1 else ""
        raise ConfigError(
            f"{option} {limit}: a worker{shared} needs {LEAST_MEMORY / 2**20:.0f} MiB for its "
            "models alone; give more, or use fewer workers"
        )
