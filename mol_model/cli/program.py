"""The program itself: what it is for, and its exit codes."""

from mol_pipeline.command_line import program


@program("moltrain")
def main() -> None:
    """Train and evaluate MOL on prepared shards.

    Exit codes: 0 done, 2 wrong command line, 3 wrong setting, 4 manifest and shards
    disagree, 7 training cannot start or go on, 75 stopped by a batch system and saved, 130
    interrupted (run again to continue).
    """
