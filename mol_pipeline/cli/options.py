"""Options that commands share, and what is parsed of them here."""

import difflib
from pathlib import Path

import click

from mol_pipeline.databases.names import ALIASES, DATABASES, canonical_name

FOLDER = click.Path(path_type=Path)


class DatabaseName(click.ParamType):
    """A database by any of its spellings."""

    name = "database"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Canonical name, or a usage error with the nearest names."""
        found = canonical_name(value)
        if found is None:
            near = difflib.get_close_matches(value.lower(), [*DATABASES, *ALIASES], n=2, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            self.fail(f"{value!r} is none of {', '.join(DATABASES)}{hint}", param, ctx)
        return found

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What --help shows."""
        return "NAME"


def _encoding(name: str) -> str:
    """A text encoding that this Python knows."""
    try:
        "".encode(name)
    except LookupError:
        raise click.BadParameter(
            f"--encoding {name!r}: is no text encoding, e.g. gb18030"
        ) from None
    return name


dataset_option = click.option(
    "--dataset",
    type=DatabaseName(),
    required=True,
    help=f"Which database the folder holds: {', '.join(DATABASES)}.",
)
root_option = click.option(
    "--root", type=FOLDER, required=True, help="Folder of the database, as its owners ship it."
)
annotation_option = click.option(
    "--annotation", type=FOLDER, help="Annotation file, if it is not found by its name."
)
frames_option = click.option(
    "--frames",
    metavar="SUBFOLDER",
    help="Folder below the root to take frames from, if there are several sets (raw, cropped).",
)
expression_option = click.option(
    "--expression",
    type=click.Choice(("all", "micro", "macro")),
    default="all",
    show_default=True,
    help="Kind of expression, in databases that hold both.",
)
strict_option = click.option(
    "--strict", is_flag=True, help="A count that is not as published is an error."
)
corrections_option = click.option(
    "--corrections/--no-corrections",
    default=True,
    show_default=True,
    help="Put known errors of the release right.",
)
numbers_option = click.option(
    "--numbers",
    type=click.Choice(("auto", "named", "anew")),
    default="auto",
    show_default=True,
    help="Numbers in frames' names: those annotated, or anew in each clip; auto refuses doubt.",
)
encoding_option = click.option(
    "--encoding",
    callback=lambda context, option, name: None if name is None else _encoding(name),
    help="Of text tables (CSV), where it cannot be told: utf-8, windows-1252, gb18030, ...",
)
