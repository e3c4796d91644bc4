"""How many jobs there are: Dask asks for what the work needs, what dies is replaced or named."""

import logging
import math
import re
import time
from typing import Any

import dask.utils
from distributed import Adaptive, SchedulerPlugin, SpecCluster, Status

from mol_pipeline.contract.errors import ConfigError, MolError, StageError
from mol_pipeline.graph import job_watch
from mol_pipeline.graph.job_watch import Ended, JobWatch, ask_queue

logger = logging.getLogger(__name__)

CERTAINLY_LOST = "15s"
"""A job none of whose workers is seen for this long has ended."""

MANY_DEATHS = 3
"""Jobs in a row that die without a worker: more are not submitted at once."""

PAUSE = 60.0
"""Seconds to wait then: the batch system is not flooded with jobs that die."""


class ReplaceLostJobs(Adaptive):
    """Dask's adaptive scaling, which also notices that a job of several workers has ended.

    Dask compares the name of a lost worker with the names of jobs: equal when a job is one
    worker, never when it is several, and then the job is waited for in vain. A job that the
    batch system refuses in the middle of a build (it is busy, a quota is reached) is asked
    for again later; Dask would count on it for ever.
    """

    cluster: SpecCluster

    def __init__(self, *arguments: Any, watch: JobWatch, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._watch = watch
        self._arrivals = _Arrivals()
        if self.cluster.scheduler is not None:
            self.cluster.scheduler.add_plugin(self._arrivals)
            for worker in list(self.cluster.scheduler.workers):
                self._arrivals.add_worker(self.cluster.scheduler, worker)
        self._last_seen: dict[object, float] = {}
        self._said: set[str] = set()
        self._looked = -math.inf
        self._has_worked = False
        self._deaths = 0
        """Jobs in a row that died before a worker connected."""
        self._pause_until = -math.inf
        self._failure: MolError | None = None
        self.queue: dict[str, str] | None = None
        """What the batch system said last of its jobs."""

    def check(self) -> None:
        """Raise what ends the build; for the main thread.

        Raises:
            ConfigError: If no job has ever brought a worker, and all have died.
            StageError: If jobs keep dying, and no worker is left.
        """
        if self._failure is not None:
            raise self._failure

    async def recommendations(self, target: int) -> dict:
        """What to start or stop, after jobs that have ended are forgotten."""
        await self._forget_ended_jobs()
        await self._forget_dead_jobs()
        if self._is_closing() or time.monotonic() < self._pause_until:
            return {"status": "same"}
        try:
            return await super().recommendations(target)
        except (OSError, RuntimeError) as error:
            self._forget_refused_jobs(error)
            return {"status": "same"}

    async def scale_up(self, n: int) -> None:  # type: ignore[override]  # Dask's own calls it so
        """Submit jobs until there are `n` workers."""
        if self._is_closing():
            return
        try:
            while len(self.plan) < n:
                self.cluster.worker_spec.update(self.cluster.new_worker_spec())
            await self.cluster
        except (OSError, RuntimeError) as error:
            self._forget_refused_jobs(error)

    def _is_closing(self) -> bool:
        """Whether no job may be submitted any more: nobody would cancel it."""
        return self._failure is not None or self.cluster.status != Status.running

    def _forget_refused_jobs(self, error: BaseException) -> None:
        forget_refused_jobs(self.cluster)
        if (reason := what_was_said(error)) not in self._said:
            self._said.add(reason)
            logger.warning("a job is refused and will be asked for again: %s", reason)

    async def _forget_ended_jobs(self) -> None:
        now = time.monotonic()
        observed = {str(name) for name in self.observed}
        arrived, self._arrivals.names = self._arrivals.names, set()
        for name, spec in self.cluster.worker_spec.items():
            members = {f"{name}{suffix}" for suffix in spec.get("group", [""])}
            if members & (observed | arrived):  # it may have come and gone since the last look
                if name not in self._last_seen:
                    self._deaths = 0
                    self._has_worked = True
                self._last_seen[name] = now
        patience = dask.utils.parse_timedelta(CERTAINLY_LOST)
        for name, seen in list(self._last_seen.items()):
            if now - seen < patience:
                continue
            del self._last_seen[name]
            job = self.cluster.workers.pop(name, None)
            if job is not None:  # its place is filled by what Dask does next
                report = self._watch.report(job.job_id)
                if report.code:  # it neither retired nor was cancelled without a word
                    self._warn(f"{report}; its work is done again elsewhere")
                await job.close()

    async def _forget_dead_jobs(self) -> None:
        """Find jobs that ended before they had a worker, and decide whether others may follow."""
        now = time.monotonic()
        waiting = {
            job.job_id: name
            for name, job in self.cluster.workers.items()
            if name not in self._last_seen and job.job_id
        }
        if not waiting or now - self._looked < job_watch.LOOK_EVERY:
            return
        self._looked = now
        self.queue = await ask_queue(self._watch.scheduler)
        for ended in self._watch.look(waiting, self.queue, now):
            job = self.cluster.workers.pop(waiting.pop(ended.job), None)
            if job is None:
                continue
            await job.close()
            self._deaths += 1
            self._failure = self._failure or self._judge(ended, others=bool(waiting))
            if self._failure is None:
                self._warn(f"{ended}, before its worker connected; another is submitted")
            if self._deaths >= MANY_DEATHS:
                self._pause_until = now + PAUSE

    def _judge(self, ended: Ended, *, others: bool) -> MolError | None:
        """Whether the death of a job ends the build."""
        advice = "correct prologue, python, directives or paths in the cluster file"
        if not self._has_worked and not others:
            return ConfigError(f"{ended}; no worker connected: {advice}")
        if self._deaths >= MANY_DEATHS and not others and not self.observed:
            return StageError(
                f"{ended}; it is number {self._deaths} in a row that died before its worker "
                f"connected, and no worker is left: {advice}, and run again to continue"
            )
        return None

    def _warn(self, message: str) -> None:
        key = re.sub(r"\d+", "", message)
        if key not in self._said:
            self._said.add(key)
            logger.warning("%s", message)


class _Arrivals(SchedulerPlugin):
    """Names of the workers that came since they were last asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def add_worker(self, scheduler: Any, worker: str) -> None:
        self.names.add(str(scheduler.workers[worker].name))


def forget_refused_jobs(cluster: SpecCluster) -> None:
    """Drop jobs that were never submitted: Dask would count on them and trip over them."""
    for name, job in list(cluster.workers.items()):
        if job.job_id is None:
            job.status = Status.failed
            del cluster.workers[name]
            cluster.worker_spec.pop(name, None)


def what_was_said(error: BaseException) -> str:
    """What a submit command wrote to stderr, on one line, out of the error of dask-jobqueue."""
    return " ".join((str(error).partition("stderr:")[2].strip() or str(error)).split())
