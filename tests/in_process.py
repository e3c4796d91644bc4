"""Commands run in the process of the tests: a new interpreter takes seconds to import torch.

What only a process of its own shows (signals, limits, the order of two streams, the installed
script) is tested with one.
"""

import subprocess

from click.testing import CliRunner


def invoke(main, *arguments):
    """What click tells of a command; an error that is none of ours is raised."""
    result = CliRunner().invoke(main, [*map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_here(main, *arguments):
    """Exit code and streams of a command, as a process of its own would give them."""
    result = invoke(main, *arguments)
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)
