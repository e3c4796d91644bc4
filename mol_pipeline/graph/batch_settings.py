"""What a cluster file says: how the jobs of a build look (`pipelines/cluster/`)."""

import math
import re
import shlex
from pathlib import Path
from typing import Any

import dask.utils
from pydantic import Field, field_validator, model_validator

from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.records import Settings
from mol_pipeline.graph.dask_settings import (
    DASK_SETTINGS,
    LOOPBACK,
    PRELOAD,
    check_worker_memory,
)
from mol_pipeline.graph.job_script import JOB_NAME, Scheduler, absolute, first_lines

WALLTIME = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)")


class BatchSettings(Settings):
    """How the jobs of a build look; changes nothing in what is written."""

    scheduler: Scheduler
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
    """Interpreter on the nodes, a path or a name; None: this one, on a shared disk."""
    log_directory: str = "molprep-logs"
    """Shared directory for the output of the jobs and, while they run, their TLS keys."""
    scratch_directory: str | None = None
    """Where workers keep what does not fit into memory, in a folder that only you can enter;
    may begin with a variable of the node (`$SCRATCH/mol`). None: `$TMPDIR`, else `/tmp`."""
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
    def logs(self) -> Path:
        """Directory of the logs, also for a job that begins elsewhere."""
        return absolute(self.log_directory)

    @property
    def interpreter(self) -> str | None:
        """Python of the nodes: a path, or a name that they look for in their PATH."""
        if self.python is None or "/" not in self.python:
            return self.python
        return str(absolute(self.python))

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
            "job_name": JOB_NAME,
            "interface": self.interface,
            "cores": self.cores,
            "processes": self.cores,
            "memory": self.memory,
            "walltime": self.walltime,
            "queue": self.queue,
            "job_extra_directives": list(self.directives),
            "job_directives_skip": list(self.skip_directives),
            "job_script_prologue": [
                *first_lines(),
                *map(_export, DASK_SETTINGS.items()),
                *self.prologue,
            ],
            "python": self.interpreter,
            "log_directory": str(self.logs),
            "local_directory": self.scratch_directory,
            "worker_extra_args": [
                *("--preload", PRELOAD),
                # Its web server asks nobody who he is.
                *("--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0"),
                *("--lifetime", f"{self.lifetime_s:.0f}s"),
                *("--lifetime-stagger", f"{self._seconds('stagger'):.0f}s"),
            ],
            "scheduler_options": {
                "dashboard_address": f"{LOOPBACK}:0",
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
    return f"export {variable}={shlex.quote(str(value))}"
