"""Where the work runs: processes of this machine, a running Dask cluster, or batch jobs."""

import contextlib
import importlib.util
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dask
from distributed import Client, Future, LocalCluster, Security, as_completed

from mol_pipeline.errors import ConfigError, StageError
from mol_pipeline.graph.batch import BatchSettings, batch_cluster
from mol_pipeline.graph.dask_settings import DASK_SETTINGS, PRELOAD, check_worker_memory

logger = logging.getLogger(__name__)

TASKS_PER_WORKER = 4
"""Tasks in flight for each worker: enough to keep it busy, few enough to stream."""

SCHEDULER_TIMEOUT = "20s"
"""How long a scheduler may take to answer."""

COUNT_WORKERS_EVERY = 5.0
"""Seconds between two questions to the scheduler how many workers it has."""

NO_WORKER_FOR = 60.0
"""Seconds without a running worker after which it is not taken for a mere restart."""

MOST_REPLACEMENTS = 3
"""Of lost local workers, before the build gives up."""


@dataclass(frozen=True)
class TlsFiles:
    """What proves to a Dask scheduler, and by it to us, who is at the other end."""

    ca: Path
    """Certificates of the authority that signed all the others, as PEM."""
    cert: Path
    """Our certificate."""
    key: Path
    """Its private key."""


@dataclass(frozen=True)
class ClusterOptions:
    """Where the work runs; changes nothing in what is written."""

    workers: int | None = None
    """Processes of the local cluster; one a core if None."""
    scheduler: str | None = None
    """Address of a running Dask scheduler, instead of a local cluster."""
    tls: TlsFiles | None = None
    """For a scheduler whose address begins with `tls://`; None: as Dask's own settings say."""
    batch: BatchSettings | None = None
    """Jobs of a batch system, instead of a local cluster."""
    memory_limit: str = "auto"
    """Per worker, as Dask spells it (`2GiB`)."""
    retries: int = 2
    """How often a task is tried again after its worker died."""


@dataclass
class Crew:
    """Tasks in flight while workers come and go."""

    client: Client
    at_least: int = 1
    """Workers to plan for even if they are not there: work has to wait before jobs start."""
    local: LocalCluster | None = None
    """The cluster of this machine, if it is one: nobody else would replace its workers."""
    _workers: int = field(default=0, init=False)
    _counted: float = field(default=-COUNT_WORKERS_EVERY, init=False)
    _seen: float = field(default_factory=time.monotonic, init=False)
    _replaced: int = field(default=0, init=False)

    def window(self) -> int:
        """Tasks in flight; asks the scheduler now and then."""
        self._count()
        return TASKS_PER_WORKER * max(self.at_least, self._workers)

    def finished(self, pool: as_completed) -> Iterator[Future]:
        """Futures as they finish, those included that are added meanwhile.

        A local worker whose restart fails, or that is paused for ever because its memory is
        nearly full, would leave the build waiting: then another is started.

        Raises:
            StageError: If none can be had.
        """
        while pool.count():
            batch = pool.next_batch(block=False)
            if not batch:
                time.sleep(0.05)
                self._count()
                self._replace_lost()
            yield from batch

    def _count(self) -> None:
        now = time.monotonic()
        if now - self._counted >= COUNT_WORKERS_EVERY:
            # Of a local cluster only those that are not paused: a remote one has its own people.
            scheduler = self.local.scheduler if self.local is not None else None
            running = scheduler.running if scheduler is not None else self.client.nthreads()
            self._workers = len(running)
            self._counted = now
            if self._workers:
                self._seen = now

    def _replace_lost(self) -> None:
        if time.monotonic() - self._seen < NO_WORKER_FOR:
            return
        self._seen = time.monotonic()
        if self.local is None:
            logger.warning("the scheduler has no running worker; waiting for one")
            return
        if self._replaced == MOST_REPLACEMENTS:
            raise StageError(
                f"no worker could be kept running ({self._replaced} were started anew); give "
                "--memory-limit more or use fewer --workers, then run again to continue"
            )
        self._replaced += 1
        logger.warning("no worker has run for %.0f s; another is started", NO_WORKER_FOR)
        self.local.scale(len(self.local.worker_spec) + 1)


@contextlib.contextmanager
def connect(options: ClusterOptions) -> Iterator[Crew]:
    """A client of the named scheduler, of batch jobs, or of a local cluster of processes.

    Raises:
        ConfigError: If no scheduler answers, or jobs cannot be had.
    """
    if not logger.isEnabledFor(logging.DEBUG):
        logging.getLogger("distributed").setLevel(logging.ERROR)  # its own default is chatty
    if options.scheduler is not None:
        with _client_of(options.scheduler, options.tls) as client:
            yield Crew(client)
        return
    # A task whose worker died is tried elsewhere this often; then it is the task's fault.
    dask.config.set({"distributed.scheduler.allowed-failures": options.retries, **DASK_SETTINGS})
    if options.batch is not None:
        with batch_cluster(options.batch) as cluster, Client(cluster) as client:
            yield Crew(client, at_least=options.batch.most_workers)
        return
    check_worker_memory(options.memory_limit)
    cluster = LocalCluster(
        n_workers=options.workers or os.cpu_count() or 1,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=":0",
        memory_limit=options.memory_limit,
        silence_logs=logging.CRITICAL,
        preload=[PRELOAD],
    )
    with cluster, Client(cluster) as client:
        yield Crew(client, local=cluster)


def _client_of(address: str, tls: TlsFiles | None) -> Client:
    """Connect to a running scheduler.

    Raises:
        ConfigError: If none answers, or it and the TLS files do not suit each other.
    """
    security = None
    if address.startswith("tls://"):
        security = _security(tls)
    elif tls is not None:
        raise ConfigError(
            f"--scheduler {address}: --tls-ca, --tls-cert and --tls-key are for an address that "
            "begins with tls://; correct the address or leave them out"
        )
    try:
        return Client(address, timeout=SCHEDULER_TIMEOUT, security=security)
    except (OSError, TimeoutError, ValueError) as error:
        advice = (
            "does it run, and are its certificate and yours signed by --tls-ca?"
            if security
            else "start one with 'dask scheduler' or leave --scheduler out"
        )
        raise ConfigError(f"{address}: no Dask scheduler answers there ({error}); {advice}") from (
            error
        )


def _security(tls: TlsFiles | None) -> Security:
    """TLS files of the client, given here or in Dask's own settings.

    Raises:
        ConfigError: If there are none, or one cannot be read.
    """
    files: dict[str, str | None]
    if tls is not None:
        files = {"ca_file": str(tls.ca), "cert": str(tls.cert), "key": str(tls.key)}
    else:
        files = Security().get_tls_config_for_role("client")
    for part in ("ca_file", "cert"):
        if files[part] is None:
            raise ConfigError(
                "a tls:// scheduler admits only those with a certificate; give --tls-ca, "
                "--tls-cert and --tls-key, or set distributed.comm.tls in Dask's own settings"
            )
    security = Security(
        require_encryption=True,
        tls_ca_file=files["ca_file"],
        tls_client_cert=files["cert"],
        tls_client_key=files["key"],
    )
    try:
        security.get_connection_args("client")
    except OSError as error:  # missing, unreadable, or no PEM
        listed = ", ".join(str(path) for path in files.values() if path)
        raise ConfigError(
            f"{listed}: cannot be used as TLS certificates ({error}); name PEM files"
        ) from error
    return security


def dashboard(client: Client) -> str:
    """Address of Dask's dashboard, empty where it would show nothing (without bokeh)."""
    return client.dashboard_link if importlib.util.find_spec("bokeh") else ""
