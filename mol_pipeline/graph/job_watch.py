"""Jobs of a batch system that died, told from those that wait.

A job is dead if it ended before a worker of it connected: a module is missing, the interpreter is
none, a line of the prologue ends the script. The batch system is asked which jobs it still has;
where it does not say, the last line of a job's log tells (`job_script.ENDED`). A job that waits in
the queue is not dead, however long it waits.
"""

import asyncio
import getpass
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mol_pipeline.graph.job_script import ENDED, Scheduler

LOOK_EVERY = 5.0
"""Seconds between two looks at jobs without a worker."""

ANSWER_WITHIN = 20.0
"""Seconds that the batch system may take to say which jobs it has."""

LOG_WITHIN = 15.0
"""Seconds in which the log of a dead job appears on a network disk."""

QUOTED_LINES = 4
QUOTED_LETTERS = 600
"""Of a log, at most."""

_END = re.compile(rf"{re.escape(ENDED)} (\d+)\s*$")


@dataclass(frozen=True)
class Ended:
    """A job that is over."""

    job: str
    log: Path | None
    """What it wrote to standard error, or to standard output if that is all."""
    said: str
    """Last lines of the log, on one line."""
    code: int | None
    """Exit code of its script, if its log tells."""

    def __str__(self) -> str:
        code = f" with exit code {self.code}" if self.code is not None else ""
        if self.log is None:
            return f"job {self.job} ended{code}, and left no log"
        if not self.said:
            return f"job {self.job} ended{code}; its log {self.log} is empty"
        return f"job {self.job} ended{code}; its log {self.log} ends: {self.said}"


@dataclass
class JobWatch:
    """Finds the jobs that died among those that never had a worker."""

    scheduler: Scheduler
    logs: Path
    _missing: dict[str, float] = field(default_factory=dict)
    """When a job was first found to be over."""

    def look(self, jobs: Iterable[str], queue: dict[str, str] | None, now: float) -> list[Ended]:
        """Jobs that died, each told once it is certain.

        Args:
            jobs: Numbers of the jobs without a worker.
            queue: What the batch system has, see `ask_queue`.
            now: Seconds of a clock.
        """
        found = []
        for job in jobs:
            report = self.report(job)
            over = report.code is not None if queue is None else job not in queue
            if not over:
                self._missing.pop(job, None)
                continue
            since = now - self._missing.setdefault(job, now)
            # Once more: the batch system may not know yet what it has just accepted. And a log
            # takes its time over the network.
            if report.code is not None or (
                since >= LOOK_EVERY and (report.log is not None or since >= LOG_WITHIN)
            ):
                del self._missing[job]
                found.append(report)
        return found

    def report(self, job: str) -> Ended:
        """What the log of a job says."""
        number = re.compile(rf"(?<!\d){re.escape(job)}(?!\d)")
        try:
            files = sorted(path for path in self.logs.iterdir() if number.search(path.name))
            texts = {path: path.read_text(errors="replace") for path in files if path.is_file()}
        except OSError:
            texts = {}
        code = None
        for path, text in texts.items():
            if mark := _END.search(text):
                code = int(mark[1])
                texts[path] = text[: mark.start()]
        # The fuller one: some systems join both streams in one file.
        log = max(
            texts, key=lambda path: (bool(texts[path].strip()), _is_error_log(path)), default=None
        )
        return Ended(job, log, last_lines(texts[log]) if log else "", code)


def _is_error_log(path: Path) -> bool:
    return bool(re.search(r"\.(e\d*|err|ER)", path.name))


def last_lines(text: str) -> str:
    """The end of a log, on one line."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-QUOTED_LINES:])[-QUOTED_LETTERS:]


async def ask_queue(scheduler: Scheduler) -> dict[str, str] | None:
    """State of each job of this user that waits or runs, by its number; None if nobody says."""
    command = {
        "slurm": ["squeue", "--noheader", "--format=%i %T (%r)", f"--user={os.getuid()}"],
        "pbs": ["qstat", "-u", getpass.getuser()],
        "lsf": ["bjobs", "-noheader", "-o", "jobid stat"],
    }[scheduler]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError:
        return None
    try:
        output, errors = await asyncio.wait_for(process.communicate(), ANSWER_WITHIN)
    except (TimeoutError, asyncio.CancelledError) as ended:
        process.kill()  # also when the cluster closes meanwhile: nobody else would end it
        await process.communicate()
        if isinstance(ended, asyncio.CancelledError):
            raise
        return None
    if process.returncode and b"No unfinished job" not in errors:  # LSF's word for none
        return None
    return jobs_in(scheduler, output.decode(errors="replace"))


def jobs_in(scheduler: Scheduler, listed: str) -> dict[str, str]:
    """Jobs that are not over, in what the batch system lists."""
    found = {}
    for line in listed.splitlines():
        number, *rest = line.split() or [""]
        job = re.match(r"\d+", number)
        if job is None or not rest:
            continue
        # qstat -u: ..., requested time, state, elapsed time
        state = rest[-2] if scheduler == "pbs" and len(rest) > 1 else " ".join(rest)
        if state.partition(" ")[0] not in OVER[scheduler]:
            found[job[0]] = state
    return found


OVER: dict[Scheduler, frozenset[str]] = {
    "slurm": frozenset({"COMPLETING"}),
    "pbs": frozenset({"C", "F", "X"}),
    "lsf": frozenset({"DONE", "EXIT"}),
}
"""States of jobs that are listed although they have ended."""
