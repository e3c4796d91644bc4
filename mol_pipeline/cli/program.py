"""The program itself: what it is for, and its exit codes."""

from mol_pipeline.command_line import program


@program("molprep")
def main() -> None:
    """Prepare micro-expression databases for MOL.

    Exit codes: 0 done, 2 wrong command line, 3 wrong setting, 4 manifest and files
    disagree, 5 database or model missing or garbled, 6 some videos could not be
    prepared (the others are written), 75 stopped by a batch system, 130 interrupted (both:
    run again to continue).
    """
