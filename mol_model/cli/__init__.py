"""`moltrain`: train and evaluate MOL on shards of `molprep`; a module a family of commands.

Commands parse, call one library function and print: words of a command line come in, one request
goes to `launch`, `inference`, `reproduction` or a report, text goes out. Heavy imports live inside
the commands, so that `--help` answers at once. Results go to stdout, the rest to stderr.
"""

from mol_model.cli import benchmark, evaluate, inspect, reproduce, submit, train
from mol_model.cli.program import main

__all__ = ["benchmark", "evaluate", "inspect", "main", "reproduce", "submit", "train"]
