"""A Dask cluster whose workers are jobs of a batch system: SLURM, PBS or LSF.

One YAML file says how a job looks (`batch_settings`); dask-jobqueue submits the jobs.
A job runs one worker process of one thread for each of its cores. Workers retire before
their walltime ends and new jobs take their place, so a build may outlive any job.

    settings = load_settings(BatchSettings, Path("pipelines/cluster/slurm.yaml"))
    with batch_cluster(settings) as (cluster, check), Client(cluster) as client:
        ...
"""

import contextlib
import logging
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from distributed import Security, SpecCluster, Status
from distributed.utils import get_ip_interface

from mol_pipeline.contract.errors import ConfigError, refusal
from mol_pipeline.contract.stopping import only_noted, refuse_if_asked
from mol_pipeline.graph.batch_settings import BatchSettings
from mol_pipeline.graph.job_script import quoted_job
from mol_pipeline.graph.job_supply import ReplaceLostJobs, forget_refused_jobs, what_was_said
from mol_pipeline.graph.job_watch import JobWatch
from mol_pipeline.graph.local import temporary_security

logger = logging.getLogger(__name__)

CLUSTERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster"}
"""Names in `dask_jobqueue`."""

SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub"}
"""Commands that a submit host has."""

TELL_AFTER = 30.0
"""Seconds after which it is said what the first jobs wait for."""


@contextlib.contextmanager
def batch_cluster(settings: BatchSettings) -> Iterator[tuple[SpecCluster, Callable[[], None]]]:
    """A Dask cluster whose first jobs are submitted; leaving it cancels every job.

    Beside it comes a function that raises what ends the build, see `ReplaceLostJobs.check`.

    Raises:
        ConfigError: If dask-jobqueue is missing, the interface does not exist, the batch
            system refuses a job, or no job connects in time.
    """
    with make_cluster(settings) as cluster:
        _submit_first(cluster, settings)
        supply: ReplaceLostJobs = cluster.adapt(  # type: ignore[assignment]  # of the class named
            Adaptive=ReplaceLostJobs,
            watch=JobWatch(settings.scheduler, settings.logs),
            minimum_jobs=settings.minimum_jobs,
            maximum_jobs=settings.maximum_jobs,
            # Work for this long justifies a worker; starting one in a queue takes longer.
            target_duration="10s",
            interval="2s",
        )
        _await_first_worker(cluster, supply, settings)
        yield cluster, supply.check


@contextlib.contextmanager
def make_cluster(settings: BatchSettings) -> Iterator[SpecCluster]:
    """A scheduler in this process and a recipe for jobs; nothing is submitted yet.

    Raises:
        ConfigError: If dask-jobqueue is missing or the interface does not exist.
    """
    kind = getattr(_dask_jobqueue(), CLUSTERS[settings.scheduler])
    try:
        get_ip_interface(settings.listens_on)
    except ValueError as error:
        raise ConfigError(
            f"interface {settings.listens_on}: no scheduler can listen there ({error})"
        ) from error
    options = settings.jobqueue_options()
    options["job_cls"] = quoted_job(kind.job_cls, settings.scheduler)
    try:
        settings.logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason, advice = refusal(error.errno, str(error))
        raise ConfigError(f"log_directory {settings.logs}: {reason}; {advice}") from error
    with contextlib.ExitStack() as stack:
        if settings.tls:
            options["security"] = stack.enter_context(temporary_keys(settings.logs))
        else:
            logger.warning(
                "tls is off: whoever reaches this machine through %s runs programs as you",
                settings.listens_on,
            )
        with only_noted():  # a signal would leave a cluster that nobody can close
            cluster = kind(**options)
        stack.callback(_close, cluster)
        yield cluster


def _close(cluster: SpecCluster) -> None:
    """Cancel the jobs, whatever signal comes meanwhile."""
    with only_noted():
        scheduler = cluster.scheduler
        if scheduler is not None and scheduler.status != Status.running:
            cluster.shutdown_scheduler = False  # it would be asked for half a minute to end
        cluster.close()


def _dask_jobqueue() -> ModuleType:
    """The package, imported without what its import does to Ctrl-C.

    Raises:
        ConfigError: If it is not installed.
    """
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        import dask_jobqueue
    except ImportError as error:
        raise ConfigError(
            "--cluster: dask-jobqueue is not installed; pip install 'mol-micro-expression[cluster]'"
        ) from error
    finally:
        # It installs a handler that ends the program at once, and as if all were well.
        signal.signal(signal.SIGINT, on_interrupt)
    return dask_jobqueue


@contextlib.contextmanager
def temporary_keys(directory: Path) -> Iterator[Security]:
    """A key for this build alone, in files that its jobs can read and other users cannot."""
    made = temporary_security().get_tls_config_for_role("worker")
    # A folder of mode 0700. Dask would leave the files until the program ends.
    with tempfile.TemporaryDirectory(prefix=".keys-", dir=directory) as folder:
        certificate, key = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        certificate.write_text(made["ca_file"])
        key.write_text(made["key"])
        roles = ("scheduler", "worker", "client")
        yield Security(
            require_encryption=True,
            tls_ca_file=str(certificate),
            **{f"tls_{role}_cert": str(certificate) for role in roles},
            **{f"tls_{role}_key": str(key) for role in roles},
        )


def _submit_first(cluster: SpecCluster, settings: BatchSettings) -> None:
    """Submit the least number of jobs, and learn at once if the batch system refuses them.

    Raises:
        ConfigError: With what the submit command said.
    """

    async def submit() -> None:
        for _ in range(settings.minimum_jobs):
            cluster.worker_spec.update(cluster.new_worker_spec())
        await cluster

    try:
        cluster.sync(submit)
    except (OSError, RuntimeError) as error:
        forget_refused_jobs(cluster)
        raise _refused(settings, error) from error


def _refused(settings: BatchSettings, error: BaseException) -> ConfigError:
    command = SUBMIT[settings.scheduler]
    if isinstance(error, FileNotFoundError):
        return ConfigError(
            f"scheduler {settings.scheduler}: there is no command {command} here; run this on a "
            "machine from which jobs are submitted, or choose another 'scheduler'"
        )
    return ConfigError(
        f"{command} refuses the job ({what_was_said(error)}); correct queue, account, memory, "
        "walltime or directives in the cluster file"
    )


def _await_first_worker(
    cluster: SpecCluster, supply: ReplaceLostJobs, settings: BatchSettings
) -> None:
    """Wait until a job has connected.

    Raises:
        ConfigError: If none does in time, or all jobs died.
        StoppedOnRequest: If a stop signal came.
    """
    begun = time.monotonic()
    told = False
    while not cluster.scheduler_info["workers"]:
        refuse_if_asked()
        supply.check()
        waited = time.monotonic() - begun
        states = ", ".join(f"job {job} {state}" for job, state in (supply.queue or {}).items())
        if waited > settings.first_worker_within_s:
            raise ConfigError(
                f"no job connected within {settings.first_worker_within}"
                f"{f' ({states})' if states else ''}; read the logs in {settings.logs}, see "
                "whether jobs wait in the queue, and check that nodes reach this machine through "
                f"{settings.interface}"
            )
        if waited > TELL_AFTER and not told and states:
            told = True
            logger.warning("waiting for the first job: %s", states)
        time.sleep(0.2)
