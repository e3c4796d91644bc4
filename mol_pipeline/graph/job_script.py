"""Job scripts in which every path may hold spaces, quotes, `$` and any letter.

dask-jobqueue joins the words of a job script by spaces. Here each is quoted: for the shell, and
in the directives for the batch system. The script also makes a folder that only its owner can
enter for what its workers put on disk, and tells in its log with which exit code it ended.
"""

import re
import shlex
import sys
from pathlib import Path
from typing import Any, Literal

from distributed import Security, Status

from mol_pipeline.contract.directives import directive_word, slurm_output

Scheduler = Literal["slurm", "pbs", "lsf"]

JOB_NAME = "molprep"

ENDED = "molprep: this job ends with exit code"
"""What the log says last."""

LOG_DIRECTIVES: dict[Scheduler, tuple[str, str, str]] = {
    "slurm": ("#SBATCH", f"{JOB_NAME}-%J.err", f"{JOB_NAME}-%J.out"),
    "pbs": ("#PBS", "", ""),  # names of its own, in the directory
    "lsf": ("#BSUB", f"{JOB_NAME}-%J.err", f"{JOB_NAME}-%J.out"),
}
"""How a directive begins, and the names of the files of a job."""

_OF_THE_NODE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})(/.*)?")


def quoted_job(base: type, scheduler: Scheduler) -> type:
    """A job class of dask-jobqueue whose script is safe for any path."""

    class QuotedJob(base):  # type: ignore[misc]
        def __init__(
            self,
            *arguments: Any,
            security: Security | None = None,
            log_directory: str,
            local_directory: str | None = None,
            python: str | None = None,
            interface: str | None = None,
            worker_extra_args: list[str],
            job_script_prologue: list[str],
            **options: Any,
        ) -> None:
            super().__init__(
                *arguments,
                python=shlex.quote(python or sys.executable),
                interface=shlex.quote(interface) if interface else None,
                local_directory='"$molprep_scratch"',
                worker_extra_args=[shlex.quote(word) for word in worker_extra_args]
                + [shlex.quote(word) for word in _tls_options(security)],
                job_script_prologue=[*job_script_prologue, *_own_lines(local_directory)],
                **options,
            )
            self.log_directory = log_directory
            lines: list[str] = self.job_header.splitlines()  # type: ignore[has-type]
            ours = log_directives(scheduler, Path(log_directory))
            kept = [one for one in ours if not any(s in one for s in self.job_directives_skip)]
            # Behind the name and before what the user asks for, which prevails.
            self.job_header = "\n".join([*lines[:1], *kept, *lines[1:]])

        async def close(self) -> None:
            await super().close()
            self.status = Status.closed  # dask-jobqueue does not say so itself

    return QuotedJob


def log_directives(scheduler: Scheduler, directory: Path) -> list[str]:
    """Directives that send the output of a job to a directory."""
    begin, error, output = LOG_DIRECTIVES[scheduler]
    word = slurm_output if scheduler == "slurm" else _plain_output
    return [
        f"{begin} -e {word(str(directory), error)}",
        f"{begin} -o {word(str(directory), output)}",
    ]


def _plain_output(folder: str, name: str) -> str:
    return directive_word(f"{folder}/{name}")


def shell_path(path: str | None, otherwise: str) -> str:
    """A path of the cluster file as a word of the shell.

    It may begin with a variable of the node, as in `$TMPDIR/mol`; every other sign stands for
    itself. A relative path is one of the directory in which the build was started.

    Args:
        path: As written; None gives `otherwise`.
        otherwise: A word of the shell.
    """
    if path is None:
        return otherwise
    if found := _OF_THE_NODE.fullmatch(path):
        return f'"${{{found[1] or found[2]}}}"{shlex.quote(found[3]) if found[3] else ""}'
    return shlex.quote(str(absolute(path)))


def absolute(path: str) -> Path:
    """A path of the cluster file as one that holds in every directory; links are kept."""
    return Path(path).expanduser().absolute()


def _own_lines(scratch: str | None) -> list[str]:
    """Shell lines before the worker: a private folder, removed in the end."""
    return [
        f"molprep_base={shell_path(scratch, '${TMPDIR:-/tmp}')}",
        'mkdir -p -- "$molprep_base"',
        'molprep_scratch=$(mktemp -d -- "$molprep_base/molprep-XXXXXXXX") || exit 1',
    ]


def first_lines() -> list[str]:
    """Shell lines before everything else: whatever ends the script is told."""
    return [
        "molprep_scratch=",
        f'trap \'code=$?; [ -z "$molprep_scratch" ] || rm -rf -- "$molprep_scratch"; '
        f'echo "{ENDED} $code" >&2\' EXIT',
        "trap 'exit 143' TERM",  # after the worker, which is told by the same signal
    ]


def _tls_options(security: Security | None) -> list[str]:
    if security is None:
        return []
    files = security.get_tls_config_for_role("worker")
    return [
        word
        for name in ("ca_file", "cert", "key")
        for word in (f"--tls-{name.replace('_', '-')}", files[name])
    ]
