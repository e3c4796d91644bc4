"""`moltrain`: train and evaluate MOL on shards that `molprep` wrote.

Commands parse, call one library function and print. Heavy imports live inside the
commands, so that `--help` answers at once. Results go to stdout, the rest to stderr.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mol_model.result_text import result_text
from mol_pipeline.contract.stopping import stopped_by_signals
from mol_pipeline.errors import ErrorMappingGroup, set_log_level

FOLDER = click.Path(path_type=Path)
FOLD_PROTOCOLS = ("loso", "composite", "cross", "leave-one-database-out", "k-fold")
"""Protocols of many folds."""
PROTOCOLS = (*FOLD_PROTOCOLS, "hold-out", "all")
"""Names in `mol_model.config.ProtocolConfig`; a test keeps the two equal."""
PRESET_NAMES = ("paper", "tiny")
"""Names of `mol_model.config.PRESETS`; a test keeps the two equal."""


@click.group(cls=ErrorMappingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mol-micro-expression", prog_name="moltrain")
@click.option("-v", "--verbose", count=True, help="More on stderr; twice for debugging.")
@click.pass_context
def main(context: click.Context, verbose: int) -> None:
    """Train and evaluate MOL on prepared shards.

    Exit codes: 0 done, 2 wrong command line, 3 wrong setting, 4 manifest and shards
    disagree, 7 training cannot start or go on, 75 stopped by a batch system and saved, 130
    interrupted (run again to continue).
    """
    set_log_level(verbose)
    context.with_resource(stopped_by_signals())


SHARDS = click.option(
    "--shards",
    type=FOLDER,
    multiple=True,
    required=True,
    help="Directory with a manifest; may be repeated.",
)
DEVICE = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
)
RUN_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    SHARDS,
    click.option("--out", type=FOLDER, required=True, help="Directory of the run."),
    click.option(
        "--preset",
        type=click.Choice(PRESET_NAMES),
        default="paper",
        show_default=True,
        help="paper: full size; tiny: narrow layers for a CPU.",
    ),
    click.option(
        "--classes", metavar="MAPPING", help="Label mapping, e.g. 3 or 5; default: the first."
    ),
    click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps of a fold."),
    click.option(
        "--selection",
        type=click.Choice(("last", "validation", "test-best")),
        help="Model that is tested: after the last step (default), best on people held out inside "
        "the training part, or best on the test fold (optimistic).",
    ),
    click.option("--init-from", type=FOLDER, help="Checkpoint whose weights training starts from."),
    click.option("--seed", type=int, help="Of weights, order and augmentation."),
    click.option("--seeds", help="Several runs, e.g. 0,1,2: mean and spread are reported."),
    click.option(
        "--precision", type=click.Choice(("float32", "tf32", "bf16")), help="Of the products."
    ),
    click.option("--compile", "compiled", is_flag=True, help="Compile the network."),
    click.option("--deterministic", is_flag=True, help="The same bits again, slower on CUDA."),
    DEVICE,
    click.option(
        "--jobs", type=click.IntRange(min=1), help="Folds at once; default: on a CPU one a core."
    ),
    click.option("--folds", help="Only these folds: names, or numbers such as 0-6, by commas."),
    click.option("--config", "config_file", type=FOLDER, help="Settings as YAML."),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a setting, e.g. training.learning_rate=0.001; may be repeated.",
    ),
    click.option("--overwrite", is_flag=True, help="Start anew instead of continuing."),
)
"""Options of every command that trains."""


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every command that trains."""
    for option in reversed(RUN_OPTIONS):
        command = option(command)
    return command


def _launch(protocol: dict[str, object], **given: Any) -> None:
    """Do a run: parse what is left to parse, call the library, print the result."""
    from mol_model import processes
    from mol_model.launch import RunRequest, launch
    from mol_model.progress import run_progress

    settings = {f"protocol.{name}": value for name, value in protocol.items()}
    for name in ("steps", "selection", "precision"):
        settings[f"training.{name}"] = given[name]
    settings["training.init_from"] = (
        str(given["init_from"].resolve()) if given["init_from"] else None
    )
    settings["training.compile"] = given["compiled"] or None
    settings["training.deterministic"] = given["deterministic"] or None
    shortcuts = (
        f"{key}={json.dumps(value)}" for key, value in settings.items() if value is not None
    )
    if given["seeds"] and given["seed"] is not None:
        raise click.UsageError("name --seed or --seeds, not both")
    request = RunRequest(
        shards=given["shards"],
        out=given["out"],
        preset=given["preset"],
        classes=given["classes"],
        config_file=given["config_file"],
        overrides=(*given["overrides"], *shortcuts),
        seeds=_numbers(given["seeds"]) if given["seed"] is None else (given["seed"],),
        device=given["device"],
        jobs=given["jobs"],
        folds=_names(given["folds"]),
        overwrite=given["overwrite"],
    )
    with run_progress() as on_progress:
        metrics, report = launch(request, on_progress)
    if processes.rank() == 0:
        click.echo(result_text(metrics))
        click.echo(f"report: {report}")


def _names(listed: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",")) if listed else ()


def _numbers(listed: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(name) for name in _names(listed))
    except ValueError as error:
        raise click.BadParameter(
            f"{listed!r}: numbers, separated by commas", param_hint="--seeds"
        ) from error


@main.command()
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    help="loso: leave one subject out (the default); composite: the same over several databases.",
)
@click.option("--train", multiple=True, metavar="DATABASE", help="For cross: databases that train.")
@click.option(
    "--test", multiple=True, metavar="NAME", help="For cross: databases; for hold-out: subjects."
)
@run_options
def fit(protocol: str | None, train: tuple[str, ...], test: tuple[str, ...], **given: Any) -> None:
    """Train and test every fold of a protocol, pool the predictions, write a report.

    Run again after an interruption: finished folds are kept, the others continue.
    Started by torchrun (torchrun -m mol_model fit ...), its processes share each fold.
    """
    _launch({"name": protocol, "train": list(train) or None, "test": list(test) or None}, **given)


@main.command()
@run_options
def loso(**given: Any) -> None:
    """Leave one subject out: everybody is tested by a model that never saw them."""
    _launch({"name": "loso"}, **given)


@main.command()
@run_options
def composite(**given: Any) -> None:
    """Leave one subject out over several databases with three classes (MEGC 2019).

    Give --shards of casme2, samm and smic-hs.
    """
    _launch({"name": "composite"}, **given)


@main.command()
@click.option(
    "--train",
    multiple=True,
    metavar="DATABASE",
    help="Trains; may be repeated; default: each alone.",
)
@click.option("--test", multiple=True, metavar="DATABASE", help="Tested; default: each.")
@run_options
def cross(train: tuple[str, ...], test: tuple[str, ...], **given: Any) -> None:
    """Train on one database, test on another; scores are of each pair."""
    _launch({"name": "cross", "train": list(train), "test": list(test)}, **given)


@main.command()
@run_options
def pretrain(**given: Any) -> None:
    """Train on all videos of the shards, test none; for --init-from of other runs.

    The model is OUT/folds/all/checkpoint. The paper pre-trains on Aff-Wild2 with seven classes.
    """
    _launch({"name": "all"}, **given)


@main.command()
@click.option("--checkpoint", type=FOLDER, required=True, help="Of a fold, or of 'pretrain'.")
@SHARDS
@click.option("--out", type=FOLDER, required=True, help="Directory for the tables.")
@click.option(
    "--classes",
    metavar="MAPPING",
    help="Label mapping; default: that of the checkpoint, of imported weights release-3 or -5.",
)
@DEVICE
@click.option(
    "--seen-people",
    type=click.Choice(("refuse", "leave-out")),
    default="refuse",
    show_default=True,
    help="What to do with people whom the checkpoint was trained on.",
)
def evaluate(
    checkpoint: Path,
    shards: tuple[Path, ...],
    out: Path,
    classes: str | None,
    device: str,
    seen_people: str,
) -> None:
    """Test a checkpoint on all videos of the shards."""
    from mol_model.failures import named_failures
    from mol_model.testing import evaluate_checkpoint

    with named_failures(out):
        metrics = evaluate_checkpoint(
            checkpoint,
            shards,
            out,
            classes=classes,
            device=device,
            leave_out_seen=seen_people == "leave-out",
        )
    click.echo(result_text(metrics))
    click.echo(f"tables: {out}")


@main.command()
@click.argument("runs", nargs=-1, required=True, type=FOLDER, metavar="RUN RUN ...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def compare(runs: tuple[Path, ...], as_json: bool) -> None:
    """Put runs beside each other: scores, settings that differ, videos that changed."""
    from mol_model.comparison import compare_runs

    if len(runs) < 2:
        raise click.UsageError("name two runs or more")
    comparison = compare_runs(runs)
    click.echo(json.dumps(comparison.document(), indent=1) if as_json else comparison.text())


@main.command()
@click.argument("run", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def status(run: Path, as_json: bool) -> None:
    """Show which folds of a run are done, running, stopped, failed or waiting."""
    from collections import Counter

    from mol_model.fold_state import read_states

    states = read_states(run)
    if as_json:
        click.echo(json.dumps([vars(state) for state in states], indent=1))
        return
    for state in states:
        click.echo(f"{state.fold:28} {state.state:8} step {state.step:6}  {state.words}".rstrip())
    counts = Counter(state.state for state in states)
    click.echo(", ".join(f"{count} {name}" for name, count in counts.items()))


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
@click.option(
    "--test", multiple=True, metavar="NAME", help="For cross: databases; for hold-out: subjects."
)
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
@click.option("--out", type=FOLDER, help="Write a checkpoint of ours: OUT.json and its tensors.")
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
        click.echo(f"{out}.json and its tensors written", err=True)


@main.command()
@click.argument("videos", nargs=-1, required=True, type=FOLDER, metavar="VIDEO...")
@click.option("--checkpoint", type=FOLDER, required=True, help="With or without its ending.")
@click.option("--out", type=FOLDER, required=True, help="Directory of the results.")
@click.option(
    "--window",
    type=click.IntRange(min=2),
    metavar="FRAMES",
    help="Give every part of so many frames a class of its own; default: one for the whole video.",
)
@DEVICE
@click.option("--config", "config_file", type=FOLDER, help="Settings of 'molprep build' as YAML.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting of the preparation, e.g. detection.no_face=interpolate.",
)
@click.option("--landmark-model", type=FOLDER, help="Dlib's 68-point model, if not the packaged.")
@click.option("--no-film", is_flag=True, help="Leave the annotated film out.")
def predict(
    videos: tuple[Path, ...],
    checkpoint: Path,
    out: Path,
    window: int | None,
    device: str,
    config_file: Path | None,
    overrides: tuple[str, ...],
    landmark_model: Path | None,
    no_film: bool,
) -> None:
    """Class, flow and landmarks of films or folders of frames, by a trained checkpoint.

    Faces are found and aligned as 'molprep build' does it. OUT gets one page, index.html, and
    a folder a video with prediction.json, the annotated film and figures. A video without a
    usable face is named, the others go on, and the exit code is 6.
    """
    from mol_model.inference.requirements import require_preparation

    require_preparation()
    from mol_model.failures import named_failures
    from mol_model.inference.page import verdict, write_page
    from mol_model.inference.predict import (
        PredictOptions,
        VideoResult,
        load_preparation,
        predict_videos,
    )
    from mol_model.runs import choose_device
    from mol_pipeline.errors import StageError

    def tell(result: VideoResult) -> None:
        if result.rejected is None:
            click.echo(f"{result.name}: {verdict(result)}")
        else:
            click.echo(f"rejected: {result.name}: {result.rejected}", err=True)
        for note in result.document.get("notes", ()):
            click.echo(f"{result.name}: {note}", err=True)

    options = PredictOptions(
        out=out,
        window=window,
        config=load_preparation(config_file, overrides),
        landmark_model=landmark_model,
        film=not no_film,
    )
    with named_failures(out):
        results, identity = predict_videos(
            videos, checkpoint, options, choose_device(device), on_result=tell
        )
    for sentence in identity.limits():
        click.echo(sentence, err=True)
    click.echo(f"page: {write_page(results, identity, out)}")
    failed = [one for one in results if one.rejected is not None]
    if failed:
        raise StageError(f"{len(failed)} of {len(results)} videos gave no answer; reasons above")


@main.command()
@SHARDS
@click.option("--flow-predictor", metavar="MODULE:CALLABLE|raft", help="Frames to flow.")
@click.option("--landmark-predictor", metavar="MODULE:CALLABLE", help="Frames to landmarks.")
@click.option("--weights", type=FOLDER, help="Weights for raft; nothing is downloaded.")
@click.option("--classes", metavar="MAPPING", help="Label mapping; default: the first.")
def peers(
    shards: tuple[Path, ...],
    flow_predictor: str | None,
    landmark_predictor: str | None,
    weights: Path | None,
    classes: str | None,
) -> None:
    """Score flow or landmarks of somebody else's predictor on shards, as ours are scored.

    The predictor is a function of yours; mol_model.peers says what it gets and gives. One
    JSON object goes to stdout.
    """
    from mol_model.config import ProtocolConfig, RunConfig
    from mol_model.peers import NotInstalled, evaluate_peer, load_flow_predictor, load_predictor
    from mol_model.protocols import make_folds
    from mol_model.runs import load_data
    from mol_pipeline.errors import ConfigError

    if flow_predictor is None and landmark_predictor is None:
        raise click.UsageError("name a --flow-predictor, a --landmark-predictor, or both")
    flow = load_flow_predictor(flow_predictor, weights) if flow_predictor else None
    if isinstance(flow, NotInstalled):
        raise ConfigError(f"--flow-predictor {flow.name}: {flow.how}")
    points = load_predictor(landmark_predictor) if landmark_predictor else None
    data = load_data(shards, classes, RunConfig())
    folds = make_folds(data.samples, data.classes, ProtocolConfig())
    metrics = evaluate_peer(data, folds, flow=flow, landmarks=points)
    result: dict[str, object] = {"synthetic": data.synthetic, "videos": metrics["videos"]}
    result |= {"manifest_hash": data.manifest_hash}
    result |= {"flow": metrics["flow"]} if flow else {}
    result |= {"landmarks": metrics["landmarks"]} if points else {}
    click.echo(json.dumps(result, indent=1))


@main.command()
@SHARDS
@click.option("--out", type=FOLDER, required=True, help="Directory of the run, seen by all nodes.")
@click.option("--preset", type=click.Choice(PRESET_NAMES), default="paper", show_default=True)
@click.option("--protocol", type=click.Choice(FOLD_PROTOCOLS), default="loso", show_default=True)
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


@main.command()
@click.argument("name", metavar="NAME|FILE")
@click.option("--shards", type=FOLDER, multiple=True, required=True, help="One of each database.")
@click.option("--out", type=FOLDER, required=True, help="Directory of the runs and the table.")
@click.option(
    "--preset", type=click.Choice(PRESET_NAMES), default="paper", show_default=True, help="Size."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps of a fold.")
@click.option("--seeds", help="Several runs a row, e.g. 0,1,2; default: those of the document.")
@DEVICE
@click.option("--jobs", type=click.IntRange(min=1), help="Folds at once; on a CPU one a core.")
@click.option("--folds", help="Only these folds: names, or numbers such as 0-6, by commas.")
@click.option(
    "--peer",
    "peer_rows",
    multiple=True,
    metavar="ROW=PREDICTOR",
    help="Compute a peer's row: RAFT=raft, or TCDCN=module:callable; may be repeated.",
)
@click.option("--peer-weights", type=FOLDER, help="Weights for raft; nothing is downloaded.")
@click.option("--overwrite", is_flag=True, help="Start anew instead of continuing.")
@click.option("--dry-run", is_flag=True, help="Print the plan and an estimate of the time.")
def reproduce(
    name: str, steps: int | None, peer_rows: tuple[str, ...], dry_run: bool, **given: Any
) -> None:
    """Make a table or figure of the paper: table-04 to table-15, figure-5 or figure-6.

    NAME may be a YAML file of yours. Each row is an ordinary run in OUT/ROW/seed-N. Run again
    after an interruption: finished folds are kept. The paper's numbers stand beside ours only
    where the shards are of that database, and never beside demo data.
    """
    from mol_model.progress import run_progress
    from mol_model.reproduction.execute import reproduce as do
    from mol_model.reproduction.plan import ReproductionRequest, make_plan
    from mol_model.reproduction.table import table_text
    from mol_model.reproduction.timing import estimate_text, measure

    given["seeds"], given["folds"] = _numbers(given["seeds"]), _names(given["folds"])
    given["overrides"] += (f"training.steps={steps}",) if steps else ()
    peers = []
    for one in peer_rows:
        row, separator, predictor = one.partition("=")
        if not (separator and row and predictor):
            raise click.BadParameter(f"{one!r}: must read ROW=PREDICTOR", param_hint="--peer")
        peers.append((row, predictor))
    plan = make_plan(ReproductionRequest(name=name, peers=tuple(peers), **given))
    click.echo(plan.text(), err=not dry_run)
    if dry_run:
        left = [unit for unit in plan.units if unit.finished < len(unit.folds)]
        click.echo(
            estimate_text(left, measure(left, given["device"])) if left else "nothing is left"
        )
        return
    with run_progress() as on_progress:
        table, page = do(
            plan,
            lambda unit: click.echo(f"{unit.run}, seed {unit.seed}", err=True),
            on_progress,
        )
    click.echo(table_text(table))
    click.echo(f"report: {page}")
