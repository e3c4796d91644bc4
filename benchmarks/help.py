"""Time `--help` of both commands in fresh processes, against an empty interpreter.

python benchmarks/help.py [RUNS]
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

LIMIT_S = 0.5


def median_seconds(command: list[str], runs: int) -> float:
    """Median wall time of a command after one run to warm the disk."""
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def main() -> None:
    """Print a line per command, with its ratio to an interpreter that does nothing."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    folder = Path(sys.executable).parent
    empty = median_seconds([sys.executable, "-c", "pass"], runs)
    print(f"python -c pass    {empty:.3f} s  (median of {runs})")
    for name in ("molprep", "moltrain"):
        seconds = median_seconds([str(folder / name), "--help"], runs)
        verdict = "ok" if seconds < LIMIT_S else "TOO SLOW"
        print(f"{name} --help  {seconds:.3f} s  {seconds / empty:.1f} x empty  {verdict}")


if __name__ == "__main__":
    main()
