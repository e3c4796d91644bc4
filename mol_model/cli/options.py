"""Options that commands share, and what is parsed of them here."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from mol_model.config.names import PRECISIONS, SELECTION_NAMES
from mol_model.runs.options import RunOptions
from mol_pipeline.command_line import FOLDER, settings_options

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
PRESET = click.option(
    "--preset",
    metavar="NAME",
    help="Of MOL paper (full size) or tiny (narrow layers for a CPU); other networks have their "
    "own; default: the network's first.",
)
TRAIN_PARTS = click.option(
    "--train", multiple=True, metavar="NAME", help="For cross: databases; for owners-split: parts."
)
TEST_PARTS = click.option(
    "--test",
    multiple=True,
    metavar="NAME",
    help="For cross: databases; for hold-out: subjects; for owners-split: parts.",
)
RUN_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    SHARDS,
    click.option("--out", type=FOLDER, required=True, help="Directory of the run."),
    click.option(
        "--network",
        metavar="NAME",
        help="A name that 'moltrain networks' lists, or your own as my_module:network.",
    ),
    PRESET,
    click.option(
        "--classes", metavar="MAPPING", help="Label mapping, e.g. 3 or 5; default: the first."
    ),
    click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps of a fold."),
    click.option(
        "--selection",
        type=click.Choice(SELECTION_NAMES),
        help="Model that is tested: after the last step (default), best on people held out inside "
        "the training part, or best on the test fold (optimistic).",
    ),
    click.option("--init-from", type=FOLDER, help="Checkpoint whose weights training starts from."),
    click.option("--seed", type=int, help="Of weights, order and augmentation."),
    click.option("--seeds", help="Several runs, e.g. 0,1,2: mean and spread are reported."),
    click.option("--precision", type=click.Choice(PRECISIONS), help="Of the products."),
    click.option("--compile", "compiled", is_flag=True, help="Compile the network."),
    click.option("--deterministic", is_flag=True, help="The same bits again, slower on CUDA."),
    DEVICE,
    click.option(
        "--jobs", type=click.IntRange(min=1), help="Folds at once; default: on a CPU one a core."
    ),
    click.option("--folds", help="Only these folds: names, or numbers such as 0-6, by commas."),
    settings_options("", "training.learning_rate=0.001"),
    click.option("--overwrite", is_flag=True, help="Start anew instead of continuing."),
)
"""Options of every command that trains."""


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every command that trains."""
    for option in reversed(RUN_OPTIONS):
        command = option(command)
    return command


def where_and_how(given: Mapping[str, Any]) -> RunOptions:
    """Place, device, folds of a run, from what the command line has of them."""
    return RunOptions(
        out=given["out"],
        device=given["device"],
        jobs=given["jobs"],
        folds=names(given["folds"]),
        overwrite=given["overwrite"],
    )


def names(listed: str | None) -> tuple[str, ...]:
    """Words separated by commas; none if nothing was given."""
    return tuple(name.strip() for name in listed.split(",")) if listed else ()


def numbers(listed: str | None) -> tuple[int, ...]:
    """Whole numbers separated by commas.

    Raises:
        BadParameter: If one is none.
    """
    try:
        return tuple(int(name) for name in names(listed))
    except ValueError as error:
        raise click.BadParameter(
            f"{listed!r}: numbers, separated by commas", param_hint="--seeds"
        ) from error
