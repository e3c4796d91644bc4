"""Build on every engine, in every weather, and print one table: `make test-engines`."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.chaos.table import table


def main() -> int:
    """Run the builds; 0 if all gave the same bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write the table to this file too")
    parser.add_argument("--quick", action="store_true", help="only the dozen that CI builds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MOL_TEST_ENGINES_TABLE": folder}
        if not arguments.quick:
            environment["MOL_TEST_ENGINES"] = "all"
        tests = str(Path(__file__).parent)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests]
        subprocess.run(command, env=environment, check=False)
        text, held = table(folder)
    sys.stdout.write(f"{text}\n")
    if arguments.out:
        arguments.out.write_text(text + "\n")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
