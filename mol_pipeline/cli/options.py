"""Options that commands share, and what is parsed of them here."""

import difflib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mol_pipeline.command_line import FOLDER
from mol_pipeline.databases.names import ALIASES, DATABASES, canonical_name

if TYPE_CHECKING:
    from mol_pipeline.databases.adapter import IndexRequest


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


annotation_option = click.option(
    "--annotation", type=FOLDER, help="Annotation file, if it is not found by its name."
)
strict_option = click.option(
    "--strict", is_flag=True, help="A count that is not as published is an error."
)

_SOURCE = (
    click.option(
        "--dataset",
        type=DatabaseName(),
        required=True,
        help=f"Which database the folder holds: {', '.join(DATABASES)}.",
    ),
    click.option(
        "--root", type=FOLDER, required=True, help="Folder of the database, as its owners ship it."
    ),
    annotation_option,
)
_READING = (
    click.option(
        "--frames",
        metavar="SUBFOLDER",
        help="Folder below the root to take frames from, if there are several sets (raw, cropped).",
    ),
    click.option(
        "--expression",
        type=click.Choice(("all", "micro", "macro")),
        default="all",
        show_default=True,
        help="Kind of expression, in databases that hold both.",
    ),
    click.option(
        "--corrections/--no-corrections",
        default=True,
        show_default=True,
        help="Put known errors of the release right.",
    ),
    click.option(
        "--numbers",
        type=click.Choice(("auto", "named", "anew")),
        default="auto",
        show_default=True,
        help="Numbers in frames' names: those annotated, or anew in each clip; auto refuses doubt.",
    ),
    click.option(
        "--encoding",
        callback=lambda context, option, name: None if name is None else _encoding(name),
        help="Of text tables (CSV), where it cannot be told: utf-8, windows-1252, gb18030, ...",
    ),
    click.option(
        "--most-missing",
        type=click.FloatRange(0, 1),
        metavar="SHARE",
        default=0.5,
        show_default=True,
        help="A clip that lacks more than this share of its frames is rejected.",
    ),
)
"""One for each field of `IndexOptions`, by its name."""


@dataclass(frozen=True)
class Source:
    """The database that a command reads, as its options name it."""

    dataset: str
    request: "IndexRequest"


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a database, and it gets them as one `Source`."""

    @functools.wraps(command)
    def gathered(
        *arguments: Any, dataset: str, root: Path, annotation: Path | None, **options: Any
    ) -> None:
        from mol_pipeline.contract.manifest import IndexOptions
        from mol_pipeline.databases.adapter import IndexRequest

        reading = {name: options.pop(name) for name in IndexOptions.model_fields}
        request = IndexRequest(root.resolve(), annotation, IndexOptions(**reading))
        command(*arguments, source=Source(dataset, request), **options)

    for option in reversed((*_SOURCE, *_READING)):
        gathered = option(gathered)
    return gathered
