"""The command that makes a table or figure of the paper."""

from typing import Any

import click

from mol_model.cli.options import DEVICE, numbers, where_and_how
from mol_model.cli.program import main
from mol_model.config.names import PRESET_NAMES
from mol_pipeline.command_line import FOLDER, set_option


def _peer(words: str) -> tuple[str, str]:
    """Name of a row and its predictor, from `ROW=PREDICTOR`."""
    row, separator, predictor = words.partition("=")
    if not (separator and row and predictor):
        raise click.BadParameter(f"{words!r}: must read ROW=PREDICTOR", param_hint="--peer")
    return row, predictor


@main.command()
@click.argument("name", metavar="NAME|FILE")
@click.option("--shards", type=FOLDER, multiple=True, required=True, help="One of each database.")
@click.option("--out", type=FOLDER, required=True, help="Directory of the runs and the table.")
@click.option(
    "--preset", type=click.Choice(PRESET_NAMES), default="paper", show_default=True, help="Size."
)
@set_option("", "training.learning_rate=0.001")
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
    from mol_model.reproduction.execute import reproduce as do
    from mol_model.reproduction.plan import ReproductionRequest, make_plan
    from mol_model.reproduction.table import table_text
    from mol_model.reproduction.timing import estimate_text, measure
    from mol_model.runs.progress import run_progress

    request = ReproductionRequest(
        name=name,
        shards=given["shards"],
        options=where_and_how(given),
        preset=given["preset"],
        overrides=(*given["overrides"], *([f"training.steps={steps}"] if steps else ())),
        seeds=numbers(given["seeds"]),
        peers=tuple(map(_peer, peer_rows)),
        peer_weights=given["peer_weights"],
    )
    plan = make_plan(request)
    click.echo(plan.text(), err=not dry_run)
    if dry_run:
        left = [unit for unit in plan.units if unit.finished < len(unit.folds)]
        click.echo(
            estimate_text(left, measure(left, request.options.device))
            if left
            else "nothing is left"
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
