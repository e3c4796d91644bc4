"""Commands that show: folds before a run, a run's state, the network, released weights."""

import json
from pathlib import Path

import click

from mol_model.cli.options import PRESET, TEST_PARTS, TRAIN_PARTS
from mol_model.cli.program import main
from mol_model.config.names import FLAVOURS, PROTOCOLS
from mol_pipeline.command_line import FOLDER, set_option


@main.command()
@click.argument("run", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def status(run: Path, as_json: bool) -> None:
    """Show which folds of a run are done, running, stopped, failed or waiting."""
    from collections import Counter

    from mol_model.runs.status import read_states

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
@TRAIN_PARTS
@TEST_PARTS
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
    from mol_model.config.settings import ProtocolConfig
    from mol_model.protocols.plan import plan_folds, read_protocol

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
@click.option("--network", metavar="NAME", help="See 'moltrain networks'; default: mol.")
@PRESET
@click.option(
    "--flavour",
    type=click.Choice(FLAVOURS),
    help="Of MOL: the paper's equations, or what the authors' released code computes.",
)
@set_option(" of the network", "use_flow=false")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def model(
    network: str | None,
    preset: str | None,
    flavour: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print the layers of a network, their shapes and parameters, and what a clip costs."""
    from mol_model.config.settings import resolve_settings
    from mol_model.networks.summary import summarise

    words = [f"model.flavour={flavour}"] if flavour else []
    words += [f"model.{word.removeprefix('network.')}" for word in overrides]
    summary = summarise(resolve_settings(preset, None, tuple(words), network=network))
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


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def networks(as_json: bool) -> None:
    """List the networks that come with the project, what they see, and who published them.

    Parameters are those of five classes and of each network's first preset. Your own network is
    named as my_module:network: docs/your-own-network.md.
    """
    from mol_model.networks.listing import list_networks

    rows = list_networks()
    if as_json:
        click.echo(json.dumps([vars(row) for row in rows], indent=1))
        return
    for row in rows:
        click.echo(f"{row.name:<14}{row.parameters:>13,} parameters   {', '.join(row.views)}")
        click.echo(f"{'':<14}presets {', '.join(row.presets)}; {row.source}")


@main.command("import-release")
@click.argument("file", type=FOLDER)
@click.option("--out", type=FOLDER, help="Write a checkpoint of ours: OUT.json and its tensors.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def import_release(file: Path, out: Path | None, as_json: bool) -> None:
    """Read weights of the authors' released code and say what became of every key.

    Nothing in FILE is executed. The report comes first; then, if keys are missing or
    unknown, the exit code is 7 and nothing is written.
    """
    from mol_model.training.release_import import import_release_file

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
