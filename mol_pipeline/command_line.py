"""What both programs' command lines share: the log, errors as exit codes, outputs that cannot be.

`molprep` and `moltrain` are groups of click commands of the class `ErrorMappingGroup`.
"""

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mol_pipeline.contract.errors import (
    NO_ENTRY,
    MolError,
    one_line,
    refusal_number,
    unwritable,
)
from mol_pipeline.contract.stopping import stopped_by_signals

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

INTERRUPTED_EXIT_CODE = 130

FOLDER = click.Path(path_type=Path)
"""A file or folder; whether it is there is asked where it is used."""


def settings_options(of: str, example: str) -> Callable[[Decorated], Decorated]:
    """`--config FILE` and `--set KEY=VALUE`, as `config_file` and `overrides`.

    Args:
        of: What the settings are of, as the end of a sentence; empty for the command itself.
        example: An override.
    """
    options = (
        click.option("--config", "config_file", type=FOLDER, help=f"Settings{of} as YAML."),
        set_option(of, example),
    )
    return lambda command: options[0](options[1](command))


def set_option(of: str, example: str) -> Callable[[Decorated], Decorated]:
    """`--set KEY=VALUE`, as `overrides`; see `settings_options`."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"Override a setting{of}, e.g. {example}; may be repeated.",
    )


def program(name: str) -> Callable[[Callable[[], None]], click.Group]:
    """The group of a program's commands: its version, its log, its stop signals.

    Args:
        name: Of the program.

    Returns:
        A decorator for a function that is described and does nothing.
    """

    def made(described: Callable[[], None]) -> click.Group:
        @click.group(
            cls=ErrorMappingGroup,
            help=described.__doc__,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        @click.version_option(package_name="mol-micro-expression", prog_name=name)
        @click.option("-v", "--verbose", count=True, help="More on stderr; twice for debugging.")
        @click.pass_context
        def main(context: click.Context, verbose: int) -> None:
            set_log_level(verbose)
            context.with_resource(stopped_by_signals())

        return main

    return made


def set_log_level(verbose: int) -> None:
    """Send the log to stderr: warnings, with `-v` also information, with `-vv` everything."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


class _Failure(click.ClickException):
    """What click shows for a deliberate error: its message on one line."""

    def __init__(self, error: MolError) -> None:
        super().__init__(one_line(error))
        self.exit_code: int = error.exit_code  # type: ignore[misc]  # click reads it so


def check_place(out: Path) -> None:
    """Refuse an output that cannot be made, before any work is done for it; makes nothing.

    Raises:
        ConfigError: If the nearest directory that exists is none, or takes no new files.
    """
    try:
        there = next(path for path in (out, *out.absolute().parents) if _is_there(path))
        if there != out and not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
        if there.is_dir() and not os.access(there, os.W_OK | os.X_OK):
            # Only the system knows why: a mode, a read-only disk.
            trial = there / f".mol-{os.getpid()}"
            trial.touch(exist_ok=False)
            trial.unlink()
    except OSError as error:
        raise unwritable(out, error) from error


def _is_there(path: Path) -> bool:
    """Whether something has this name; a name that nothing can have is an OSError."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


class _Command(click.Command):
    """A command whose `--out` may be a place that cannot be written."""

    def invoke(self, ctx: click.Context) -> object:
        """Run it; what the disk refuses below `--out` is an error of that option."""
        out = ctx.params.get("out")
        if not isinstance(out, Path):
            return super().invoke(ctx)
        check_place(out)
        try:
            return super().invoke(ctx)
        except OSError as error:
            if refusal_number(error) not in NO_ENTRY or not _concerns(out, error.filename):
                raise
            raise unwritable(out, error) from error


def _concerns(out: Path, name: object) -> bool:
    """Whether a file that an error names is the output, in it, or on the way to it.

    A disk that fills up while a file is written names none.
    """
    if not isinstance(name, str | os.PathLike):
        return True
    path = Path(name).absolute()
    places = (out.absolute(), out.resolve())
    return any(path.is_relative_to(one) or one.is_relative_to(path) for one in places)


class ErrorMappingGroup(click.Group):
    """Turn deliberate errors into one line on stderr and their exit code.

    Any other exception keeps its traceback and exits 1: that is a bug of ours.
    """

    command_class = _Command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and translate what it raises."""
        try:
            return super().invoke(ctx)
        except MolError as error:
            raise _Failure(error) from error
        except KeyboardInterrupt:
            click.echo("interrupted: what is finished is kept; run again to continue", err=True)
            ctx.exit(INTERRUPTED_EXIT_CODE)
