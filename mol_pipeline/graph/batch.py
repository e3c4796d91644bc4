"""A Dask cluster whose workers are jobs of a batch system: SLURM, PBS or LSF.

One YAML file says how a job looks (`pipelines/cluster/`); dask-jobqueue submits the jobs.
A job runs one worker process of one thread for each of its cores. Workers retire before
their walltime ends and new jobs take their place, so a build may outlive any job.

    settings = load_settings(BatchSettings, Path("pipelines/cluster/slurm.yaml"))
    with batch_cluster(settings) as cluster, Client(cluster) as client:
        ...
"""

import contextlib
import logging
import math
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import dask
import dask.utils
from distributed import Adaptive, Security, SpecCluster, Status
from distributed.utils import get_ip_interface
from pydantic import Field, field_validator, model_validator

from mol_pipeline.config import Settings
from mol_pipeline.errors import ConfigError
from mol_pipeline.graph.dask_settings import DASK_SETTINGS, PRELOAD, check_worker_memory

logger = logging.getLogger(__name__)

WALLTIME = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)")

CLUSTERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster"}
"""Names in `dask_jobqueue`."""

SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub"}
"""Commands that a submit host has."""

CERTAINLY_LOST = "15s"
"""A job none of whose workers is seen for this long has ended."""


class BatchSettings(Settings):
    """How the jobs of a build look; changes nothing in what is written."""

    scheduler: Literal["slurm", "pbs", "lsf"]
    """The batch system of the site."""
    interface: str
    """Network interface between this machine and the jobs (`ip address` lists them). The
    scheduler listens on it and nowhere else. No default: an address chosen by chance may face
    the internet."""
    scheduler_interface: str | None = None
    """What that network's interface is called on this machine, where its name is another than
    on the nodes; None: `interface`."""
    minimum_jobs: int = Field(default=1, ge=1)
    """Jobs to keep while there is work."""
    maximum_jobs: int = Field(default=10, ge=1)
    """Jobs at most; Dask asks for as many as there is work for."""
    cores: int = Field(default=1, ge=1)
    """CPU cores of a job, and so its worker processes of one thread."""
    memory: str = "2GiB"
    """Of a job, shared equally by its processes."""
    walltime: str = "04:00:00"
    """Of a job, HH:MM:SS, also for LSF."""
    retire_before: str = "5m"
    """Workers retire at least this long before the walltime; a video in hand is begun anew on
    another worker."""
    stagger: str = "5m"
    """Workers of jobs that began together retire spread over twice this time."""
    queue: str | None = None
    """Partition (SLURM) or queue."""
    account: str | None = None
    """Account (SLURM, PBS) or project (LSF) to charge."""
    directives: tuple[str, ...] = ()
    """More directives, without `#SBATCH`, `#PBS` or `#BSUB`."""
    skip_directives: tuple[str, ...] = ()
    """Leave out directives that contain one of these, where a site refuses them."""
    prologue: tuple[str, ...] = ()
    """Shell lines before the worker starts, e.g. `module load python/3.11`."""
    python: str | None = None
    """Interpreter on the nodes; None: this one, on a shared disk."""
    log_directory: str = "molprep-logs"
    """Shared directory for the output of the jobs and, while they run, their TLS keys."""
    scratch_directory: str | None = None
    """Where workers keep what does not fit into memory; None: the directory of the job."""
    tls: bool = True
    """Encrypt, and admit only workers with a key made for this build. A Dask scheduler without
    it executes whatever anybody on the network sends."""
    first_worker_within: str = "2h"
    """Give up if no job connects in this time: jobs wait in vain, or die at once."""

    @field_validator("walltime")
    @classmethod
    def _clock(cls, value: str) -> str:
        if not WALLTIME.fullmatch(value):
            raise ValueError("must read HH:MM:SS, e.g. 04:00:00")
        return value

    @field_validator("retire_before", "stagger", "first_worker_within")
    @classmethod
    def _duration(cls, value: str) -> str:
        try:
            dask.utils.parse_timedelta(value)
        except (ValueError, LookupError, OverflowError) as error:
            raise ValueError("is no time; write e.g. 90s, 5m, 2h") from error
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "BatchSettings":
        if self.maximum_jobs < self.minimum_jobs:
            raise ValueError(
                f"maximum_jobs {self.maximum_jobs} is below minimum_jobs {self.minimum_jobs}"
            )
        try:
            check_worker_memory(self.memory, share=self.cores, option="memory")
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if self.lifetime_s - self._seconds("stagger") <= 0:
            raise ValueError(
                f"walltime {self.walltime} leaves a worker no time: it must exceed "
                f"retire_before {self.retire_before} and twice stagger {self.stagger}"
            )
        return self

    def _seconds(self, name: str) -> float:
        return dask.utils.parse_timedelta(getattr(self, name))

    @property
    def walltime_s(self) -> int:
        """Walltime in seconds."""
        hours, minutes, seconds = map(int, self.walltime.split(":"))
        return 3600 * hours + 60 * minutes + seconds

    @property
    def lifetime_s(self) -> float:
        """Middle of the times after which workers retire, in seconds."""
        return self.walltime_s - self._seconds("retire_before") - self._seconds("stagger")

    @property
    def first_worker_within_s(self) -> float:
        """How long to wait for the first worker, in seconds."""
        return self._seconds("first_worker_within")

    @property
    def listens_on(self) -> str:
        """Interface of the scheduler, which is on this machine."""
        return self.scheduler_interface or self.interface

    @property
    def most_workers(self) -> int:
        """Worker processes when all jobs run."""
        return self.maximum_jobs * self.cores

    def jobqueue_options(self) -> dict[str, Any]:
        """Arguments of the cluster class of dask-jobqueue."""
        options: dict[str, Any] = {
            "job_name": "molprep",
            "interface": self.interface,
            "cores": self.cores,
            "processes": self.cores,
            "memory": self.memory,
            "walltime": self.walltime,
            "queue": self.queue,
            "job_extra_directives": list(self.directives),
            "job_directives_skip": list(self.skip_directives),
            "job_script_prologue": [*map(_export, DASK_SETTINGS.items()), *self.prologue],
            "python": self.python,
            "log_directory": str(Path(self.log_directory).absolute()),
            "local_directory": self.scratch_directory,
            "worker_extra_args": [
                *("--preload", PRELOAD),
                *("--lifetime", f"{self.lifetime_s:.0f}s"),
                *("--lifetime-stagger", f"{self._seconds('stagger'):.0f}s"),
            ],
            "scheduler_options": {
                "dashboard_address": "127.0.0.1:0",
                "interface": self.listens_on,
            },
            "silence_logs": "critical",
        }
        if self.scheduler == "lsf":  # minutes, rounded up; and no account
            minutes = math.ceil(self.walltime_s / 60)
            options["walltime"] = f"{minutes // 60:02d}:{minutes % 60:02d}"
            options["project"] = self.account
        else:
            options["account"] = self.account
        return options


def _export(setting: tuple[str, object]) -> str:
    """Shell line that gives a Dask setting to a job, by Dask's own spelling."""
    name, value = setting
    variable = "DASK_" + name.upper().replace(".", "__").replace("-", "_")
    return f"export {variable}={value}"


class ReplaceLostJobs(Adaptive):
    """Dask's adaptive scaling, which also notices that a job of several workers has ended.

    Dask compares the name of a lost worker with the names of jobs: equal when a job is one
    worker, never when it is several, and then the job is waited for in vain. A job that the
    batch system refuses in the middle of a build (it is busy, a quota is reached) is asked
    for again later; Dask would count on it for ever.
    """

    cluster: SpecCluster

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._last_seen: dict[object, float] = {}
        self._said: set[str] = set()

    async def recommendations(self, target: int) -> dict:
        """What to start or stop, after jobs that have ended are forgotten."""
        await self._forget_ended_jobs()
        try:
            return await super().recommendations(target)
        except (OSError, RuntimeError) as error:
            self._forget_refused_jobs(error)
            return {"status": "same"}

    async def scale_up(self, n: int) -> None:  # type: ignore[override]  # Dask's own calls it so
        """Submit jobs until there are `n` workers."""
        try:
            while len(self.plan) < n:
                self.cluster.worker_spec.update(self.cluster.new_worker_spec())
            await self.cluster
        except (OSError, RuntimeError) as error:
            self._forget_refused_jobs(error)

    def _forget_refused_jobs(self, error: BaseException) -> None:
        forget_refused_jobs(self.cluster)
        if (reason := what_was_said(error)) not in self._said:
            self._said.add(reason)
            logger.warning("a job is refused and will be asked for again: %s", reason)

    async def _forget_ended_jobs(self) -> None:
        now = time.monotonic()
        observed = {str(name) for name in self.observed}
        for name, spec in self.cluster.worker_spec.items():
            members = {f"{name}{suffix}" for suffix in spec.get("group", [""])}
            if members & observed:
                self._last_seen[name] = now
        patience = dask.utils.parse_timedelta(CERTAINLY_LOST)
        for name, seen in list(self._last_seen.items()):
            if now - seen < patience:
                continue
            del self._last_seen[name]
            job = self.cluster.workers.pop(name, None)
            if job is not None:  # its place is filled by what Dask does next
                await job.close()
                job.status = Status.closed  # dask-jobqueue does not say so itself


def forget_refused_jobs(cluster: SpecCluster) -> None:
    """Drop jobs that were never submitted: Dask would count on them and trip over them."""
    for name, job in list(cluster.workers.items()):
        if job.job_id is None:
            job.status = Status.failed
            del cluster.workers[name]
            cluster.worker_spec.pop(name, None)


@contextlib.contextmanager
def batch_cluster(settings: BatchSettings) -> Iterator[SpecCluster]:
    """A Dask cluster whose first jobs are submitted; leaving it cancels every job.

    Raises:
        ConfigError: If dask-jobqueue is missing, the interface does not exist, the batch
            system refuses a job, or no job connects in time.
    """
    with _terminated_like_interrupted(), make_cluster(settings) as cluster:
        _submit_first(cluster, settings)
        cluster.adapt(
            Adaptive=ReplaceLostJobs,
            minimum_jobs=settings.minimum_jobs,
            maximum_jobs=settings.maximum_jobs,
            # Work for this long justifies a worker; starting one in a queue takes longer.
            target_duration="10s",
            interval="2s",
        )
        _await_first_worker(cluster, settings)
        yield cluster


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
    logs = Path(options["log_directory"])
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if settings.tls:
            options["security"] = stack.enter_context(temporary_keys(logs))
        yield stack.enter_context(kind(**options))


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
    made = Security.temporary()
    # A folder of mode 0700. Dask would leave the files until the program ends.
    with tempfile.TemporaryDirectory(prefix=".keys-", dir=directory) as folder:
        certificate, key = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        certificate.write_text(made.tls_ca_file)
        key.write_text(made.tls_client_key)
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


def what_was_said(error: BaseException) -> str:
    """What a submit command wrote to stderr, on one line, out of the error of dask-jobqueue."""
    return " ".join((str(error).partition("stderr:")[2].strip() or str(error)).split())


def _await_first_worker(cluster: SpecCluster, settings: BatchSettings) -> None:
    """Wait until a job has connected.

    Raises:
        ConfigError: If none does in time.
    """
    deadline = time.monotonic() + settings.first_worker_within_s
    while not cluster.scheduler_info["workers"]:
        if time.monotonic() > deadline:
            raise ConfigError(
                f"no job connected within {settings.first_worker_within}; read the logs in "
                f"{settings.log_directory}, see whether jobs wait in the queue, and check that "
                f"nodes reach this machine through {settings.interface}"
            )
        time.sleep(0.2)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the build as Ctrl-C does, so that its jobs are cancelled too.

    A batch system sends it to a build that is itself a job.
    """

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
