"""The table of `make test-engines`: what was built where, in which weather, and whether it held."""

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

OUT = os.environ.get("MOL_TEST_ENGINES_TABLE")
"""Folder in which each build leaves a line; the runs may be spread over processes."""


@contextmanager
def note(engine, workers, database):
    """Note a build: it held if the block ends without an error."""
    began = time.monotonic()
    held = False
    try:
        yield
        held = True
    finally:
        if OUT:
            line = {
                "engine": engine,
                "workers x threads": workers,
                "database": database,
                "held": held,
                "seconds": round(time.monotonic() - began, 1),
            }
            Path(OUT, f"{os.getpid()}-{time.time_ns()}.json").write_text(json.dumps(line))


def table(folder):
    """Markdown: one row for engine and workers, one column for each database."""
    lines = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    databases = sorted({line["database"] for line in lines})
    rows = {}
    for line in lines:
        rows.setdefault((line["engine"], line["workers x threads"]), []).append(line)
    text = [f"| engine or trouble | workers x threads | {' | '.join(databases)} |"]
    text.append("|---" * (2 + len(databases)) + "|")
    for (engine, workers), found in rows.items():
        cells = []
        for database in databases:
            own = [line["held"] for line in found if line["database"] == database]
            cells.append(f"{sum(own)} of {len(own)}" if own else "")
        text.append(f"| {engine} | {workers} | {' | '.join(cells)} |")
    held = sum(line["held"] for line in lines)
    text.append(f"\n{held} of {len(lines)} builds gave the bytes of one process of one thread.")
    return "\n".join(text), held == len(lines)
