"""Leave one subject out as SLURM jobs: an array over groups of folds, then a job that pools.

    plan = LosoJobs(shards=(Path("shards/samm"),), out=Path("runs/samm"), folds_per_task=7)
    groups = fold_groups(count_folds(plan), plan.folds_per_task)
    print(loso_script(plan, groups))

One script serves both: as a task of the array it trains its group; without the array it is
the same command without `--folds`, which trains what is missing and pools.
"""

import re
import shlex
import subprocess
from pathlib import Path

from pydantic import Field, field_validator

from mol_model.config.settings import ProtocolConfig
from mol_model.protocols.plan import plan_folds
from mol_pipeline.contract.directives import slurm_output
from mol_pipeline.contract.errors import ConfigError, StoppedOnRequest, refusal
from mol_pipeline.contract.files import write_atomically
from mol_pipeline.contract.records import Settings

TRAIN_COMMAND = "fit"
"""Command of `moltrain` that trains the folds of a run and pools them."""

WARNING_S = 120
"""Seconds before the time limit at which SLURM asks a task to stop."""

SCRIPT_NAME = "loso-array.sbatch"

TIME = re.compile(r"(\d+-)?\d{1,3}:\d\d:\d\d|\d+")


class LosoJobs(Settings):
    """What to train, and what a task of the array asks of SLURM."""

    shards: tuple[Path, ...] = Field(min_length=1)
    out: Path
    """Directory of the run, on a disk that all nodes see."""
    network: str | None = None
    preset: str | None = None
    classes: str | None = None
    protocol: ProtocolConfig = ProtocolConfig()
    options: tuple[str, ...] = ()
    """Further words of the `moltrain` command."""
    folds_per_task: int = Field(default=1, ge=1)
    most_tasks_at_once: int | None = Field(default=None, ge=1)
    partition: str | None = None
    account: str | None = None
    time: str = "04:00:00"
    """Limit of a task, as SLURM spells it; a task that reaches it is queued again."""
    gres: str | None = "gpu:1"
    """Generic resources of a task; None for a CPU."""
    cpus: int = Field(default=4, ge=1)
    memory: str = "16G"
    setup: tuple[str, ...] = ()
    """Shell lines before training, e.g. `module load python/3.11`."""

    @field_validator("time")
    @classmethod
    def _slurm_time(cls, value: str) -> str:
        if not TIME.fullmatch(value):
            raise ValueError("must read HH:MM:SS, D-HH:MM:SS or minutes")
        return value

    @field_validator("partition", "account", "gres", "memory")
    @classmethod
    def _one_word(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\S+", value):
            raise ValueError("must be one word: it becomes a directive of the script")
        return value

    @property
    def directory(self) -> Path:
        """Where the script and the logs go: beside the run, which is the program's own."""
        return self.out.with_name(f"{self.out.name}.slurm")

    @property
    def array_limit(self) -> str:
        """Suffix of SLURM's `--array`: how many tasks may run at once."""
        return f"%{self.most_tasks_at_once}" if self.most_tasks_at_once else ""


def count_folds(jobs: LosoJobs) -> int:
    """Folds of the protocol on these shards.

    Raises:
        ManifestError: If a manifest cannot be read.
        ConfigError: If the databases do not suit each other or the protocol.
        TrainingError: If no fold can be made.
    """
    return len(plan_folds(jobs.shards, (), jobs.classes, jobs.protocol).folds)


def fold_groups(folds: int, per_task: int) -> list[str]:
    """Neighbouring folds as `--folds` spells them: `["0-6", "7-13", "14"]`."""
    groups = []
    for first in range(0, folds, per_task):
        last = min(first + per_task, folds) - 1
        groups.append(str(first) if first == last else f"{first}-{last}")
    return groups


def loso_script(jobs: LosoJobs, groups: list[str]) -> str:
    """Text of the batch script, for the array and for the job that pools."""
    wishes = {
        "job-name": "mol-loso",
        "partition": jobs.partition,
        "account": jobs.account,
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(jobs.cpus),
        "mem": jobs.memory,
        "time": jobs.time,
        "gres": jobs.gres,
        "output": slurm_output(str(jobs.directory), "%x-%j.log"),
    }
    directives = "\n".join(f"#SBATCH --{name}={wish}" for name, wish in wishes.items() if wish)
    words = ["moltrain", TRAIN_COMMAND]
    for directory in jobs.shards:
        words += ["--shards", str(directory)]
    words += ["--out", str(jobs.out)]
    for option, name in (("--network", jobs.network), ("--preset", jobs.preset)):
        words += [option, name] if name else []
    if jobs.protocol.name != "loso":  # the default
        words += ["--protocol", jobs.protocol.name]
    if jobs.classes is not None:
        words += ["--classes", jobs.classes]
    setup = "".join(f"{line}\n" for line in jobs.setup)
    return f"""#!/bin/bash
# Written by 'moltrain submit'. As a task of an array this trains one group of folds; without an
# array it trains what is missing, pools the predictions and writes the report:
#   array=$(sbatch --parsable --array=0-{len(groups) - 1}{jobs.array_limit} {SCRIPT_NAME})
#   sbatch --dependency=afterok:$array --kill-on-invalid-dep=yes {SCRIPT_NAME}
{directives}
# The program, not this script, is asked to stop {WARNING_S} s before the limit.
#SBATCH --signal=USR1@{WARNING_S}
#SBATCH --requeue
#SBATCH --open-mode=append

groups=({" ".join(groups)})
folds=()
if [ -n "${{SLURM_ARRAY_TASK_ID:-}}" ]; then
    folds=(--folds "${{groups[$SLURM_ARRAY_TASK_ID]}}")
fi
{setup}
# srun does not take the number of CPUs over from the job since SLURM 22.05.
srun --cpus-per-task={jobs.cpus} \\
    {shlex.join([*words, *jobs.options])} "${{folds[@]}}"
code=$?
if [ "$code" = {StoppedOnRequest.exit_code} ]; then
    # Asked to stop, state saved: wait in the queue again and continue.
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def submit(jobs: LosoJobs, script: str, tasks: int) -> tuple[str, str]:
    """Write the script, submit the array and the job that pools after it.

    Returns:
        The SLURM numbers of both.

    Raises:
        ConfigError: If the script cannot be written, or SLURM is absent or refuses.
    """
    path = jobs.directory / SCRIPT_NAME
    try:
        jobs.directory.mkdir(parents=True, exist_ok=True)
        write_atomically(path, script.encode())
    except OSError as error:
        reason, advice = refusal(error.errno, str(error))
        raise ConfigError(f"{path}: cannot be written: {reason}; {advice}") from error
    array = _sbatch(f"--array=0-{tasks - 1}{jobs.array_limit}", str(path))
    pool = _sbatch(f"--dependency=afterok:{array}", "--kill-on-invalid-dep=yes", str(path))
    return array, pool


def _sbatch(*arguments: str) -> str:
    """Number of a submitted job.

    Raises:
        ConfigError: If there is no sbatch, or it refuses.
    """
    try:
        done = subprocess.run(
            ["sbatch", "--parsable", *arguments], check=True, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise ConfigError(
            "there is no command sbatch here; run this on a machine from which jobs are "
            "submitted, or print the script with --dry-run"
        ) from error
    except subprocess.CalledProcessError as error:
        raise ConfigError(
            f"sbatch refuses the job ({' '.join(error.stderr.split())}); correct partition, "
            "account, time, gres or memory"
        ) from error
    return done.stdout.strip().partition(";")[0]  # "number" or "number;cluster"
