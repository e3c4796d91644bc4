"""What TLS costs a local build: start of the cluster, and Dask's own time for a task.

    python benchmarks/tls.py [--repeats 7] [--tasks 1000] [--out FILE.json]

The same cluster of two processes is opened with and without a key of its own, by turns, so that
both see the same machine. A task does nothing and has the arguments of a real one. The third
figure is the making of the key alone.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from unittest import mock

from distributed import Client, Security, as_completed
from scale import nothing, segment

from mol_pipeline.config import BuildConfig
from mol_pipeline.graph import local

WORKERS = 2
WINDOW = 8
"""Tasks in flight, as in a build with two workers."""


def one_cluster(tasks: int) -> tuple[float, float]:
    """Seconds until a cluster takes work, and for each task."""
    begun = time.perf_counter()
    with local.local_cluster(WORKERS, "auto") as cluster, Client(cluster) as client:
        client.submit(nothing, key="first").result()
        opened = time.perf_counter()
        arguments = (Path("/data/aff-wild2"), BuildConfig(), Path("model.dat"))
        numbers = iter(range(tasks))
        pool = as_completed(loop=client.loop)

        def submit() -> None:
            number = next(numbers, None)
            if number is not None:
                key = f"video-{number}"
                pool.add(client.submit(nothing, segment(number), *arguments, key=key, pure=False))

        for _ in range(WINDOW):
            submit()
        for _ in pool:
            submit()
        return opened - begun, (time.perf_counter() - opened) / tasks


def key_alone() -> float:
    """Seconds to make a key."""
    begun = time.perf_counter()
    local.temporary_security()
    return time.perf_counter() - begun


def main() -> None:
    """Medians of both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    one_cluster(10)  # the first one also reads the programs from disk
    load = os.getloadavg()[0]
    measured: dict[str, list[tuple[float, float]]] = {"plain": [], "tls": []}
    for _ in range(options.repeats):
        with mock.patch.object(local, "temporary_security", Security):
            measured["plain"].append(one_cluster(options.tasks))
        measured["tls"].append(one_cluster(options.tasks))
    result: dict[str, float] = {"workers": WORKERS, **vars(options)}
    del result["out"]
    result["load"] = load  # processes that wanted a core when this began
    for name, pairs in measured.items():
        starts, each = zip(*pairs, strict=True)
        result[f"start_s_{name}"] = statistics.median(starts)
        result[f"ms_per_task_{name}"] = 1000 * statistics.median(each)
    result["key_s"] = statistics.median(key_alone() for _ in range(options.repeats))
    for name, value in result.items():
        print(f"{name:20} {value:10.4g}")
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
