"""The program itself: its log, its stop signals, its exit codes."""

import click

from mol_pipeline.command_line import ErrorMappingGroup, set_log_level
from mol_pipeline.contract.stopping import stopped_by_signals


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
