"""`moltrain`: train and evaluate MOL on shards that `molprep` wrote.

Commands parse, call one library function and print. Heavy imports live inside the
commands, so that `--help` answers at once. Results go to stdout, the rest to stderr.
"""

import json
from pathlib import Path

import click

from mol_pipeline.errors import ErrorMappingGroup, set_log_level

FOLDER = click.Path(path_type=Path)
FIT_PROTOCOLS = ("loso", "composite", "leave-one-database-out", "k-fold")
"""Protocols in which every video is tested once, so that predictions can be pooled."""
PROTOCOLS = (*FIT_PROTOCOLS, "cross")
"""Names in `mol_model.config.ProtocolConfig`; a test keeps the two equal."""
PRESET_NAMES = ("paper", "tiny")
"""Names of `mol_model.config.PRESETS`; a test keeps the two equal."""


@click.group(cls=ErrorMappingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mol-micro-expression", prog_name="moltrain")
@click.option("-v", "--verbose", count=True, help="More on stderr; twice for debugging.")
def main(verbose: int) -> None:
    """Train and evaluate MOL on prepared shards.

    Exit codes: 0 done, 2 wrong command line, 3 wrong setting, 4 manifest and shards
    disagree, 7 training cannot start or go on, 130 interrupted (run again to continue).
    """
    set_log_level(verbose)


@main.command()
@click.option(
    "--shards",
    type=FOLDER,
    multiple=True,
    required=True,
    help="Directory with a manifest; may be repeated.",
)
@click.option("--out", type=FOLDER, required=True, help="Directory of the run.")
@click.option(
    "--preset",
    type=click.Choice(PRESET_NAMES),
    default="paper",
    show_default=True,
    help="paper: full size; tiny: narrow layers for a CPU.",
)
@click.option(
    "--protocol",
    type=click.Choice(FIT_PROTOCOLS),
    help="loso: leave one subject out (the default); composite: the same over several databases.",
)
@click.option(
    "--classes", metavar="MAPPING", help="Label mapping, e.g. 3 or 5; default: the first."
)
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps of a fold.")
@click.option(
    "--selection",
    type=click.Choice(("last", "validation", "test-best")),
    help="Model that is tested: after the last step (default), best on people held out inside "
    "the training part, or best on the test fold (optimistic).",
)
@click.option("--seed", type=int, help="Of weights, order and augmentation.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--jobs", type=click.IntRange(min=1), help="Folds at once; on a CPU one a core.")
@click.option("--folds", help="Only these folds: names, or numbers such as 0-6, by commas.")
@click.option("--config", "config_file", type=FOLDER, help="Settings as YAML.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting, e.g. training.learning_rate=0.001; may be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Start anew instead of continuing.")
def fit(
    shards: tuple[Path, ...],
    out: Path,
    preset: str,
    protocol: str | None,
    classes: str | None,
    steps: int | None,
    selection: str | None,
    seed: int | None,
    device: str,
    jobs: int | None,
    folds: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Train and test every fold, pool the predictions, write a report.

    Run again after an interruption: finished folds are kept, the others continue.
    """
    from mol_model.config import PRESETS, RunConfig
    from mol_model.progress import run_progress
    from mol_model.report import write_report
    from mol_model.runs import RunOptions, fit_to_data, load_data
    from mol_model.runs import fit as run_fit
    from mol_pipeline.contract.settings import load_settings

    shortcuts = [
        f"training.{name}={value}"
        for name, value in (("steps", steps), ("selection", selection), ("seed", seed))
        if value is not None
    ]
    if protocol is not None:
        shortcuts.append(f"protocol.name={protocol}")
    config = load_settings(
        RunConfig,
        config_file,
        (*overrides, *shortcuts),
        base=PRESETS[preset].model_dump(mode="json"),
    )
    data = load_data(shards, classes, config)
    config = fit_to_data(config, data)
    names = tuple(name.strip() for name in folds.split(",")) if folds else ()
    options = RunOptions(out=out, device=device, jobs=jobs, folds=names, overwrite=overwrite)
    with run_progress() as on_progress:
        metrics = run_fit(data, config, options, on_progress=on_progress)
    report = write_report(out, metrics, config)
    click.echo(_result(metrics))
    click.echo(f"report: {report}")


@main.command()
@click.option(
    "--protocol",
    default="loso",
    show_default=True,
    metavar="NAME|FILE",
    help=f"One of {', '.join(PROTOCOLS)}, or a document as in manifests/protocols/.",
)
@click.option(
    "--classes",
    metavar="MAPPING",
    help="Label mapping, e.g. 3 or 5; default: the first that the databases share.",
)
@click.option("--shards", type=FOLDER, multiple=True, help="Directory with a manifest.")
@click.option(
    "--index", "indexes", type=FOLDER, multiple=True, help="Output of 'molprep index --json'."
)
@click.option("--train", multiple=True, metavar="DATABASE", help="For cross: trains; default any.")
@click.option("--test", multiple=True, metavar="DATABASE", help="For cross: tested; default any.")
@click.option("--k", default=5, show_default=True, type=click.IntRange(min=2), help="For k-fold.")
@click.option("--seed", default=0, show_default=True, help="For k-fold: breaks ties.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def folds(
    protocol: str,
    classes: str | None,
    shards: tuple[Path, ...],
    indexes: tuple[Path, ...],
    train: tuple[str, ...],
    test: tuple[str, ...],
    k: int,
    seed: int,
    as_json: bool,
) -> None:
    """Print who trains and who is tested in each fold; nothing is trained.

    --shards and --index may be repeated: one for each database.
    """
    from mol_model.config import ProtocolConfig
    from mol_model.fold_plan import plan_folds, read_protocol

    if not shards and not indexes:
        raise click.UsageError("name at least one database with --shards or --index")
    databases: tuple[str, ...] = ()
    if protocol in PROTOCOLS:
        config = ProtocolConfig.model_validate(
            {"name": protocol, "train": train, "test": test, "k": k, "seed": seed}
        )
    elif protocol.endswith(".json"):
        document = read_protocol(Path(protocol))
        config, databases = document.protocol, document.databases
        classes = classes or document.mapping
    else:
        raise click.BadParameter(f"{protocol!r} is none of {', '.join(PROTOCOLS)}, and no .json")
    plan = plan_folds(shards, indexes, classes, config, databases)
    for warning in plan.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(json.dumps(plan.document(), indent=1) if as_json else plan.text())


@main.command()
@click.option("--preset", type=click.Choice(PRESET_NAMES), default="paper", show_default=True)
@click.option(
    "--flavour",
    type=click.Choice(("paper", "release")),
    default="paper",
    show_default=True,
    help="The paper's equations, or what the authors' released code computes.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting of the network, e.g. use_flow=false.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def model(preset: str, flavour: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print the layers of the network, their shapes and parameters, and what a clip costs."""
    from mol_model.config import PRESETS, ModelConfig
    from mol_model.model_summary import summarise
    from mol_pipeline.contract.settings import load_settings

    base = PRESETS[preset].model.model_dump(mode="json") | {"flavour": flavour}
    summary = summarise(load_settings(ModelConfig, None, overrides, base=base))
    if as_json:
        click.echo(json.dumps(summary, indent=1))
        return
    click.echo(f"{'layer (of one clip)':36} {'kind':18} {'output':22} {'parameters':>12}")
    for layer in summary["layers"]:
        shape = " x ".join(map(str, layer["output_shape"]))
        click.echo(f"{layer['name']:36} {layer['kind']:18} {shape:22} {layer['parameters']:12,}")
    click.echo()
    for name, count in summary["by_part"].items():
        click.echo(f"{name:<12}{count:>14,}")
    click.echo(f"{'in all':<12}{summary['parameters']:>14,} parameters")
    click.echo(f"{summary['gflop_per_clip']:.2f} GFLOP for the forward pass of one clip")


@main.command("import-release")
@click.argument("file", type=FOLDER)
@click.option("--out", type=FOLDER, help="Write a checkpoint of ours: OUT.safetensors, OUT.json.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def import_release(file: Path, out: Path | None, as_json: bool) -> None:
    """Read weights of the authors' released code and say what became of every key.

    Nothing in FILE is executed. The report comes first; then, if keys are missing or
    unknown, the exit code is 7 and nothing is written.
    """
    from mol_model.checkpoint import import_release_file

    report = import_release_file(file, out)
    parts = {
        "used": report.used,
        "unused": report.unused,
        "unknown": report.unknown,
        "missing": report.missing,
    }
    if as_json:
        click.echo(json.dumps({"file": file.name, **parts}, indent=1))
    else:
        for name, keys in parts.items():
            click.echo(f"{name}: {len(keys)}")
            for key in keys:
                click.echo(f"  {key}")
    report.require_complete(file)
    if out is not None:
        click.echo(f"{out.with_suffix('.safetensors')} and .json written", err=True)


def _result(metrics: dict) -> str:
    """The pooled numbers as lines of text."""
    lines = []
    mark = "SYNTHETIC data: " if metrics["synthetic"] else ""
    lines.append(
        f"{mark}{metrics['protocol']}, {metrics['folds']} folds, {metrics['videos']} held-out "
        f"videos, model chosen: {metrics['selection']}, seed {metrics['seed']}"
    )
    if metrics["selection"] == "test-best":
        lines.append("  OPTIMISTIC: the model was chosen on the test folds themselves")
    if "recognition" in metrics:
        got, base = metrics["recognition"], metrics["majority_class"]
        for key, name in (
            ("accuracy", "accuracy"),
            ("weighted_f1", "WF1"),
            ("unweighted_f1", "UF1"),
            ("unweighted_average_recall", "UAR"),
        ):
            lines.append(
                f"  {name:<9}{100 * got[key]:6.1f} %   (majority class {100 * base[key]:.1f} %)"
            )
    parts = metrics.get("by_database", {})
    for database, scores in parts.items() if len(parts) > 1 else ():
        lines.append(
            f"  {database}: {scores['videos']} videos, UF1 {100 * scores['unweighted_f1']:.1f} %, "
            f"UAR {100 * scores['unweighted_average_recall']:.1f} %"
        )
    flow, points = metrics["flow"], metrics["landmarks"]
    lines.append(
        f"  AEPE     {flow['average_end_point_error_px']:6.3f} px  "
        f"(no motion {flow['zero_flow_end_point_error_px']:.3f} px)"
    )
    lines.append(
        f"  NME      {points['inter_ocular_nme_percent']:6.2f} %   "
        f"(mean shape {points['mean_shape_nme_percent']:.2f} %)"
    )
    return "\n".join(lines)


@main.command()
@click.option(
    "--shards",
    type=FOLDER,
    multiple=True,
    required=True,
    help="Directory with a manifest; may be repeated.",
)
@click.option("--out", type=FOLDER, required=True, help="Directory of the run, seen by all nodes.")
@click.option("--preset", type=click.Choice(PRESET_NAMES), default="paper", show_default=True)
@click.option("--protocol", type=click.Choice(FIT_PROTOCOLS), default="loso", show_default=True)
@click.option("--classes", metavar="MAPPING", help="Label mapping, e.g. 3 or 5.")
@click.option("--config", "config_file", type=FOLDER, help="Settings of the training as YAML.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a training setting."
)
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
def submit(
    shards: tuple[Path, ...],
    out: Path,
    preset: str,
    protocol: str,
    classes: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    folds_per_task: int,
    at_once: int | None,
    partition: str | None,
    account: str | None,
    time_limit: str,
    gres: str,
    cpus: int,
    memory: str,
    setup: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Train leave one subject out as SLURM jobs: an array of folds, then a job that pools.

    A task that reaches its time limit saves its state and is queued again.
    """
    import shlex
    import sys

    from mol_model.config import PRESETS, RunConfig
    from mol_model.submission import LosoJobs, count_folds, fold_groups, loso_script
    from mol_model.submission import submit as submit_jobs
    from mol_pipeline.contract.settings import load_settings

    # Refuse a wrong setting of the training now, not in a job an hour later.
    base = PRESETS[preset].model_dump(mode="json")
    changes = (*overrides, f"protocol.name={protocol}")
    config = load_settings(RunConfig, config_file, changes, base=base)
    options = [] if config_file is None else ["--config", str(config_file.resolve())]
    for override in overrides:
        options += ["--set", override]
    if not setup and sys.prefix != sys.base_prefix:
        setup = (f"source {shlex.quote(sys.prefix)}/bin/activate",)
    document = {
        "shards": [str(directory.resolve()) for directory in shards],
        "out": str(out.resolve()),
        "preset": preset,
        "classes": classes,
        "protocol": config.protocol.model_dump(mode="json"),
        "options": options,
        "folds_per_task": folds_per_task,
        "most_tasks_at_once": at_once,
        "partition": partition,
        "account": account,
        "time": time_limit,
        "gres": None if gres == "none" else gres,
        "cpus": cpus,
        "memory": memory,
        "setup": list(setup),
    }
    jobs = load_settings(LosoJobs, None, base=document)
    groups = fold_groups(count_folds(jobs), jobs.folds_per_task)
    script = loso_script(jobs, groups)
    if dry_run:
        click.echo(script, nl=False)
        return
    array, pool = submit_jobs(jobs, script, len(groups))
    click.echo(f"array {array}: {len(groups)} tasks; then job {pool} pools into {out}")
    click.echo(f"script and logs: {jobs.directory}", err=True)
