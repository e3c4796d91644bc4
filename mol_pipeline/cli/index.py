"""Commands before a build: a synthetic database, and what a database holds."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mol_pipeline.cli.options import DatabaseName, Source, source_options, strict_option
from mol_pipeline.cli.program import main
from mol_pipeline.command_line import FOLDER
from mol_pipeline.contract.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from mol_pipeline.databases.index import DatabaseIndex

MOST_WARNINGS = 5
"""More are summed up in a line."""


@main.command()
@click.argument("out", type=FOLDER)
@click.option(
    "--layout",
    type=DatabaseName(),
    default="samm",
    show_default=True,
    help="Whose folder layout and annotation to imitate: any name that --dataset takes.",
)
@click.option(
    "--subjects",
    type=click.IntRange(min=1),
    help="How many people; default: 8, or one for each portrait.",
)
@click.option("--seed", default=0, show_default=True, type=int)
@click.option(
    "--sway",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0, 20),
    metavar="PIXELS",
    help="How far heads sway, as people do who try to keep still.",
)
@click.option(
    "--portraits",
    type=FOLDER,
    metavar="DIR",
    help="Photographs of your own, one person each; those without a face are named.",
)
def demo(
    out: Path, layout: str, subjects: int | None, seed: int, sway: float, portraits: Path | None
) -> None:
    """Write a small SYNTHETIC database into OUT, in the layout of a real one."""
    from mol_pipeline.cli.progress import progress_line
    from mol_pipeline.databases.demo import write_demo

    with progress_line("rendering clips") as advance:
        summary = write_demo(
            out,
            layout=layout,
            subjects=subjects,
            seed=seed,
            sway_px=sway,
            portraits=portraits,
            progress=advance,
        )
    for reason in summary.refused:
        click.echo(f"refused: {reason}", err=True)
    click.echo(f"{out}: synthetic database in the layout of {layout}: {summary}")
    click.echo(f"next: molprep build --dataset {layout} --root {out} --out SHARDS")


@main.command("index")
@source_options
@click.option("--classes", metavar="MAPPING", help="Count under this label mapping, e.g. 3 or 5.")
@strict_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--out", type=FOLDER, help="Write the same JSON object to this file.")
@click.option("--html", type=FOLDER, metavar="FILE", help="Write a page for people to this file.")
@click.option(
    "--examples",
    default=0,
    show_default=True,
    type=click.IntRange(0, 50),
    help="Frames of each class on that page; shows faces: mind the agreement.",
)
@click.option(
    "-v", "--verbose", "details", is_flag=True, help="Name every count, and every doubtful text."
)
def index_command(
    source: Source,
    classes: str | None,
    strict: bool,
    as_json: bool,
    out: Path | None,
    html: Path | None,
    examples: int,
    details: bool,
) -> None:
    """List what a database holds, count it, name everything odd; decodes no image."""
    from mol_pipeline.contract.files import write_atomically
    from mol_pipeline.databases.index_report import index_text
    from mol_pipeline.databases.unit_report import log_doubtful_units

    if examples and html is None:
        raise click.UsageError("--examples are shown on the page of --html")
    context = click.get_current_context()
    if details:
        log = logging.getLogger("mol_pipeline")
        log.setLevel(logging.INFO)
        context.call_on_close(lambda: log.setLevel(logging.NOTSET))
    details = details or bool(context.parent and context.parent.params.get("verbose"))
    index = read_index(source)
    document = index.document(classes)
    text = json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False)
    click.echo(text if as_json else index_text(document))
    log_doubtful_units(document.clips)
    if html is not None:
        from mol_pipeline.databases.index_page import write_index_page

        write_index_page(index, document, html, examples=examples)
        click.echo(f"page written to {html}", err=True)
    compare_counts(index, strict, details=details)
    if out is not None:
        try:
            write_atomically(out, f"{text}\n".encode())
        except OSError as error:
            raise ConfigError(f"--out {out}: cannot be written ({error.strerror})") from error
        click.echo(f"index written to {out}", err=True)


def read_index(source: Source) -> "DatabaseIndex":
    """Read a database with its adapter."""
    from mol_pipeline.databases.registry import ADAPTERS

    index = ADAPTERS[source.dataset].read(source.request)
    for warning in index.warnings:
        click.echo(f"warning: {warning}", err=True)
    return index


def compare_counts(index: "DatabaseIndex", strict: bool, *, details: bool = False) -> None:
    """Warn of counts that are not as published; with `strict` they are an error.

    A copy that lacks clips has hardly a count right: one line says how much of it is here.

    Args:
        index: Of a database.
        strict: Refuse it.
        details: List every count.
    """
    different = [check for check in index.counts if check.found != check.expected]
    totals = {check.what: check for check in index.counts if check.what in {"videos", "subjects"}}
    clips = totals.get("videos")
    if clips is not None and clips.found < clips.expected:
        people = totals.get("subjects")
        of_people = f" ({people.found} of {people.expected} subjects)" if people else ""
        more = "" if details else "; 'index -v' lists every count that is not as published"
        click.echo(
            f"warning: {clips.found} of {clips.expected} clips are here{of_people}{more}", err=True
        )
        listed = different if details else []
    else:
        listed = different if details else different[:MOST_WARNINGS]
    for check in listed:
        click.echo(
            f"warning: {check.what}: found {check.found}, published {check.expected}", err=True
        )
    if 0 < len(listed) < len(different):
        click.echo(
            f"warning: {len(different) - len(listed)} more counts are not as published; 'index -v' "
            "lists them",
            err=True,
        )
    if different and strict:
        raise SourceError(
            f"{index.root}: {len(different)} of {len(index.counts)} counts are not as published "
            "('index -v' lists them); complete the copy, or leave --strict out"
        )
