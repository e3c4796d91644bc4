"""Commands run in the process of the tests: a new interpreter takes seconds to import torch.

What only a process of its own shows (signals, limits, the order of two streams, the installed
script) is tested with one.
"""

import subprocess

from click.testing import CliRunner


def run_here(main, *arguments):
    """Exit code and streams of a command; an error that is none of ours is raised."""
    words = list(map(str, arguments))
    result = CliRunner().invoke(main, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)
