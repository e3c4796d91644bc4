"""Commands that train: a protocol's folds, or everything."""

import json
from typing import Any

import click

from mol_model.cli.options import TEST_PARTS, TRAIN_PARTS, numbers, run_options, where_and_how
from mol_model.cli.program import main
from mol_model.config.names import PROTOCOLS
from mol_model.reports.text import result_text


def _launch(protocol: dict[str, object], **given: Any) -> None:
    """Do a run: parse what is left to parse, call the library, print the result."""
    from mol_model import distributed
    from mol_model.launch import RunRequest, launch
    from mol_model.runs.progress import run_progress

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
        options=where_and_how(given),
        network=given["network"],
        preset=given["preset"],
        classes=given["classes"],
        config_file=given["config_file"],
        overrides=(*given["overrides"], *shortcuts),
        seeds=numbers(given["seeds"]) if given["seed"] is None else (given["seed"],),
    )
    with run_progress() as on_progress:
        metrics, report = launch(request, on_progress)
    if distributed.rank() == 0:
        click.echo(result_text(metrics))
        click.echo(f"report: {report}")


@main.command()
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    help="loso: leave one subject out (the default); composite: the same over several databases.",
)
@TRAIN_PARTS
@TEST_PARTS
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
