"""`molprep`: prepare micro-expression databases for MOL; one module a family of commands.

Commands parse, call one library function and print: words of a command line come in, one request
goes to `databases`, `graph` or `shards`, text goes out. Heavy imports live inside the commands, so
that `--help` answers at once. Results go to stdout, the rest to stderr.
"""

from mol_pipeline.cli import build, index, inspect
from mol_pipeline.cli.program import main

__all__ = ["build", "index", "inspect", "main"]
