"""The command that compares networks under one protocol."""

from typing import Any

import click

from mol_model.cli.options import DEVICE, where_and_how
from mol_model.cli.program import main
from mol_pipeline.command_line import FOLDER, set_option


@main.command()
@click.argument("document", metavar="NAME|FILE")
@click.option("--shards", type=FOLDER, multiple=True, required=True, help="One of each database.")
@click.option("--out", type=FOLDER, required=True, help="Directory of the runs and the table.")
@set_option("", "training.steps=300")
@DEVICE
@click.option("--jobs", type=click.IntRange(min=1), help="Folds at once; on a CPU one a core.")
@click.option(
    "--runs", "wanted", help="Only these runs of the plan, by number: 3 or 0-5; for batch arrays."
)
@click.option("--dry-run", is_flag=True, help="Print the plan; nothing is trained.")
def benchmark(document: str, wanted: str | None, dry_run: bool, **given: Any) -> None:
    """Compare networks fairly: the same clips, folds, seeds and choices of the model for all.

    DOCUMENT is a YAML file, or benchmark-composite, benchmark-samm-5, benchmark-casme2-5,
    benchmark-demo. Run again after an interruption: finished folds are kept. The table is
    OUT/table.md, its page OUT/report.html.
    """
    from mol_model.reproduction.fair_document import read_fair_document
    from mol_model.reproduction.fair_run import chosen_units, do_units, plan_text, plan_units
    from mol_model.reproduction.fair_table import (
        fair_markdown,
        make_fair_table,
        write_fair_table,
    )
    from mol_model.runs.progress import run_progress
    from mol_pipeline.contract.errors import TrainingError

    plan = read_fair_document(document)
    options = where_and_how({"folds": None, "overwrite": False, **given})
    out = options.out.resolve()
    units = plan_units(plan, given["shards"], out, given["overrides"])
    click.echo(plan_text(units), err=not dry_run)
    if dry_run:
        return
    failures: dict[str, str] = {}
    try:
        with run_progress() as on_progress:
            failures = do_units(
                chosen_units(units, wanted),
                options,
                lambda unit: click.echo(unit.words, err=True),
                on_progress,
            )
    finally:  # also when somebody interrupts it: what is finished can be read
        table = make_fair_table(plan, units, out, failures)
        page = write_fair_table(out, table)
    click.echo(fair_markdown(table))
    click.echo(f"report: {page}")
    if failures:
        raise TrainingError(f"{len(failures)} runs failed: {'; '.join(failures)}; see {page}")
