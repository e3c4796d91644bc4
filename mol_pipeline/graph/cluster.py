"""Where the work runs: processes of this machine, a running Dask cluster, or batch jobs."""

import asyncio
import concurrent.futures
import contextlib
import importlib.util
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dask
from distributed import Client, Future, LocalCluster, Security, Status, as_completed
from distributed.client import ClosedClientError

from mol_pipeline.contract.errors import ConfigError, StageError
from mol_pipeline.contract.stopping import only_noted, refuse_if_asked
from mol_pipeline.graph.batch import batch_cluster
from mol_pipeline.graph.batch_settings import BatchSettings
from mol_pipeline.graph.dask_settings import DASK_SETTINGS
from mol_pipeline.graph.local import local_cluster

logger = logging.getLogger(__name__)

TASKS_PER_WORKER = 4
"""Tasks in flight for each thread of a worker: enough to keep it busy, few enough to stream."""

SCHEDULER_TIMEOUT = "20s"
"""How long a scheduler may take to answer."""

COUNT_WORKERS_EVERY = 5.0
"""Seconds between two questions to the scheduler how many workers it has."""

NO_ANSWER_FOR = 60.0
"""Seconds without an answer after which a scheduler is given up; it has its pauses."""

ASK_FOR = 10.0
"""Seconds to wait for one answer."""

LONGEST_GOODBYE = 10.0
"""Seconds to wait for a scheduler to let us go."""

LOST = (
    OSError,  # connections of Dask that break, time that runs out
    ClosedClientError,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
)
"""What Dask raises, here and there, when a scheduler goes away."""

HERE = "the scheduler in this process"

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
    at: str = ""
    """Where the scheduler is, for messages."""
    check: Callable[[], None] = lambda: None
    """Called now and then; raises what else ends the work."""
    _workers: int = field(default=0, init=False)
    _counted: float = field(default=-COUNT_WORKERS_EVERY, init=False)
    _seen: float = field(default_factory=time.monotonic, init=False)
    _answered: float = field(default_factory=time.monotonic, init=False)
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
            StageError: If none can be had, or the scheduler is lost.
            StoppedOnRequest: If a stop signal came.
        """
        while pool.count():
            refuse_if_asked()
            if self.is_lost():
                raise self.loss("it ended, or the network between it and this machine did")
            batch = pool.next_batch(block=False)
            if not batch:
                time.sleep(0.05)
                self.check()
                self._count()
                self._replace_lost()
            yield from batch

    def is_lost(self) -> bool:
        """Whether the scheduler is gone for good; a broken connection is first made again."""
        scheduler = self.local.scheduler if self.local is not None else None
        if scheduler is not None and scheduler.status != Status.running:
            return True
        return self.client.status in {"closing", "closed"}

    def loss(self, reason: str) -> StageError:
        """What to say of a scheduler that is lost."""
        return StageError(
            f"{self.at} is lost ({reason}); what is finished is kept: see that it runs and run "
            "again to continue"
        )

    def _count(self) -> None:
        if time.monotonic() - self._counted < COUNT_WORKERS_EVERY:
            return
        self._counted = time.monotonic()
        running = self._running()
        if running is None:
            if time.monotonic() - self._answered > NO_ANSWER_FOR:
                raise self.loss(f"no answer for {NO_ANSWER_FOR:.0f} s")
            return
        self._answered = time.monotonic()
        self._workers = running
        if running:
            self._seen = self._answered

    def _running(self) -> int | None:
        """How many threads the scheduler's workers have; None if it does not say."""
        scheduler = self.local.scheduler if self.local is not None else None
        if scheduler is not None:
            # Only those that are not paused: a remote cluster has its own people for that.
            return sum(worker.nthreads for worker in scheduler.running)
        remote = self.client.scheduler
        if remote is None:
            return None
        try:
            return sum(self.client.sync(remote.ncores, callback_timeout=ASK_FOR).values())
        except OSError as error:  # it is just being connected again, or gone
            logger.debug("%s does not say how many workers it has (%s)", self.at, error)
            return None

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
        StageError: If the scheduler is lost while work is done.
    """
    if not logger.isEnabledFor(logging.DEBUG):
        logging.getLogger("distributed").setLevel(logging.ERROR)  # its own default is chatty
    with contextlib.ExitStack() as opened:
        crew = _crew(options, opened)
        try:
            yield crew
        except LOST as error:
            if not crew.is_lost():
                raise  # something else
            raise crew.loss(" ".join(str(error).split()) or type(error).__name__) from error


def _crew(options: ClusterOptions, opened: contextlib.ExitStack) -> Crew:
    """What `connect` gives; what must be closed again goes to `opened`."""
    if options.scheduler is not None:
        client = _client_of(options.scheduler, options.tls)
        opened.callback(_close, client)
        return Crew(client, at=options.scheduler)
    # A task whose worker died is tried elsewhere this often; then it is the task's fault.
    failures = {"distributed.scheduler.allowed-failures": options.retries}
    opened.enter_context(dask.config.set({**failures, **DASK_SETTINGS}))
    if options.batch is not None:
        cluster, check = opened.enter_context(batch_cluster(options.batch))
        crew = Crew(Client(cluster), at_least=options.batch.most_workers, at=HERE, check=check)
    else:
        cluster = opened.enter_context(local_cluster(options.workers, options.memory_limit))
        crew = Crew(Client(cluster), local=cluster, at=HERE)
    opened.callback(_close, crew.client)
    return crew


def _close(client: Client) -> None:
    """Say goodbye to a scheduler that may be gone, or deaf."""
    with only_noted(), contextlib.suppress(*LOST):
        client.close(timeout=LONGEST_GOODBYE)


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
    if security is None and not address.startswith("inproc://"):
        logger.warning(
            "%s: not encrypted, and whoever reaches it runs programs as you; use tls:// "
            "(docs/cluster.md)",
            address,
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
