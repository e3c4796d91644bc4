"""The command that queues a run on SLURM."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mol_model.cli.options import PRESET, SHARDS
from mol_model.cli.program import main
from mol_model.config.names import FOLD_PROTOCOLS
from mol_pipeline.command_line import FOLDER, settings_options

if TYPE_CHECKING:
    from mol_model.runs.slurm import LosoJobs


@main.command()
@SHARDS
@click.option("--out", type=FOLDER, required=True, help="Directory of the run, seen by all nodes.")
@click.option("--network", metavar="NAME", help="See 'moltrain networks'.")
@PRESET
@click.option("--protocol", type=click.Choice(FOLD_PROTOCOLS), default="loso", show_default=True)
@click.option("--classes", metavar="MAPPING", help="Label mapping, e.g. 3 or 5.")
@settings_options(" of the training", "training.batch_size=16")
@click.option("--folds-per-task", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--at-once", type=click.IntRange(min=1), help="Tasks that may run at once.")
@click.option("--partition", help="Partition of SLURM.")
@click.option("--account", help="Account to charge.")
@click.option("--time", "time_limit", default="04:00:00", show_default=True, help="Of a task.")
@click.option("--gres", default="gpu:1", show_default=True, help="Of a task; 'none' for a CPU.")
@click.option("--cpus", default=4, show_default=True, type=click.IntRange(min=1))
@click.option("--memory", default="16G", show_default=True, help="Of a task.")
@click.option(
    "--setup",
    multiple=True,
    metavar="LINE",
    help="Shell line before training, e.g. 'module load python'; may be repeated. Default: the "
    "virtual environment of this command.",
)
@click.option("--dry-run", is_flag=True, help="Print the script; write and submit nothing.")
def submit(out: Path, dry_run: bool, **given: Any) -> None:
    """Train leave one subject out as SLURM jobs: an array of folds, then a job that pools.

    A task that reaches its time limit saves its state and is queued again.
    """
    from mol_model.runs.slurm import count_folds, fold_groups, loso_script
    from mol_model.runs.slurm import submit as submit_jobs

    jobs = _jobs(out, given)
    groups = fold_groups(count_folds(jobs), jobs.folds_per_task)
    script = loso_script(jobs, groups)
    if dry_run:
        click.echo(script, nl=False)
        return
    array, pool = submit_jobs(jobs, script, len(groups))
    click.echo(f"array {array}: {len(groups)} tasks; then job {pool} pools into {out}")
    click.echo(f"script and logs: {jobs.directory}", err=True)


def _jobs(out: Path, given: Mapping[str, Any]) -> "LosoJobs":
    """What is asked of SLURM, from what the command line has of it."""
    from mol_model.config.settings import resolve_settings
    from mol_model.runs.slurm import LosoJobs
    from mol_pipeline.contract.settings import load_settings

    config_file, overrides = given["config_file"], given["overrides"]
    # Refuse a wrong setting of the training now, not in a job an hour later.
    changes = (*overrides, f"protocol.name={given['protocol']}")
    config = resolve_settings(given["preset"], config_file, changes, network=given["network"])
    options = [] if config_file is None else ["--config", str(config_file.resolve())]
    for override in overrides:
        options += ["--set", override]
    setup = given["setup"]
    if not setup and sys.prefix != sys.base_prefix:
        setup = (f"source {shlex.quote(sys.prefix)}/bin/activate",)
    document = {
        "shards": [str(directory.resolve()) for directory in given["shards"]],
        "out": str(out.resolve()),
        "protocol": config.protocol.model_dump(mode="json"),
        "options": options,
        "most_tasks_at_once": given["at_once"],
        "time": given["time_limit"],
        "gres": None if given["gres"] == "none" else given["gres"],
        "setup": list(setup),
    }
    same = (
        "network",
        "preset",
        "classes",
        "folds_per_task",
        "partition",
        "account",
        "cpus",
        "memory",
    )
    return load_settings(LosoJobs, None, base=document | {name: given[name] for name in same})
