"""Time a whole build: one worker against two, memory of the workers, a warm resume.

    python benchmarks/build.py [--subjects 2] [--runs 3] [--out FILE.json]

Builds a demo database (one clip a video) on a local Dask cluster, as `molprep build` does. The
start of the cluster is timed apart: it is the same for a database of any size.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from mol_pipeline.config import BuildConfig, SamplingConfig, ShardConfig
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.databases.demo import write_demo
from mol_pipeline.graph import ClusterOptions, build
from mol_pipeline.graph.cluster import connect
from mol_pipeline.kernels.flow import BACKEND_VARIABLE, NUMBA, OPENCV

COLD = f"{NUMBA}, cold"


class MemoryWatch(threading.Thread):
    """Peak resident memory of this process and of each of its workers."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.main = self.worker = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        """Look ten times a second."""
        me = psutil.Process()
        while not self.stopped.wait(0.1):
            self.main = max(self.main, me.memory_info().rss)
            for child in me.children(recursive=True):
                try:
                    self.worker = max(self.worker, child.memory_info().rss)
                except psutil.Error:
                    continue


def timed_build(
    root: Path, out: Path, workers: int, backend: str = ""
) -> tuple[float, MemoryWatch]:
    """Seconds and memory of one build, its flow solved by a backend of a name."""
    os.environ[BACKEND_VARIABLE] = backend
    config = BuildConfig(
        sampling=SamplingConfig(phases="centre"), shards=ShardConfig(videos_per_shard=2)
    )
    watch = MemoryWatch()
    watch.start()
    start = time.perf_counter()
    build(Samm().index(root), config, out, cluster=ClusterOptions(workers=workers))
    seconds = time.perf_counter() - start
    watch.stopped.set()
    watch.join()
    return seconds, watch


def start_of_cluster(workers: int) -> float:
    """Seconds until a cluster answers and is gone again."""
    start = time.perf_counter()
    with connect(ClusterOptions(workers=workers)) as crew:
        crew.client.gather(crew.client.map(abs, range(4)))
    return time.perf_counter() - start


def backends(base: Path, runs: int) -> tuple[dict[str, float], dict[str, int]]:
    """Medians of whole builds by two workers, in turns, and memory of a worker; shards compared.

    The cluster's start is in them; `numba, cold` begins with no compiled code.
    """
    seconds: dict[str, list[float]] = {OPENCV: [], NUMBA: [], COLD: []}
    peaks = dict.fromkeys(seconds, 0)
    for number in range(runs):
        for name in seconds:
            out = base / f"{name}-{number}"
            if name == COLD:
                os.environ["NUMBA_CACHE_DIR"] = str(base / f"cache-{number}")
            script = [sys.executable, __file__, "--one", str(base / "root"), str(out)]
            done = subprocess.run(
                [*script, name.partition(",")[0]], check=True, capture_output=True, text=True
            )
            os.environ.pop("NUMBA_CACHE_DIR", None)
            took, peak = json.loads(done.stdout)
            seconds[name].append(took)
            peaks[name] = max(peaks[name], peak)
            shards = {path.name: path.read_bytes() for path in out.glob("*.h5")}
            first = {path.name: path.read_bytes() for path in (base / f"{OPENCV}-0").glob("*.h5")}
            assert shards == first, "the backends wrote other bytes"
    by = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        f"two workers, medians of {runs}: {by[OPENCV]:.1f} s by OpenCV, {by[NUMBA]:.1f} s by numba "
        f"({by[OPENCV] / by[NUMBA]:.1f} times as fast), {by[COLD]:.1f} s with an empty cache of "
        f"compiled code; memory of a worker {peaks[OPENCV] / 1e6:.0f} and {peaks[NUMBA] / 1e6:.0f} "
        "MB; equal shards"
    )
    return by, peaks


def main() -> None:
    """One worker, two workers, and the second build again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3, help="builds by each backend")
    parser.add_argument("--one", nargs=3, metavar=("ROOT", "OUT", "BACKEND"), help="for itself")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.one:
        root, out, backend = options.one
        took, watched = timed_build(Path(root), Path(out), 2, backend)
        print(json.dumps([took, watched.worker]))
        return
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        summary = write_demo(base / "root", subjects=options.subjects)
        seconds: dict[int, float] = {}
        for workers in (1, 2):
            whole, watch = timed_build(base / "root", base / f"out-{workers}", workers)
            seconds[workers] = whole - start_of_cluster(workers)
            print(
                f"{workers} worker(s): {summary.clips} videos in {whole:.1f} s, without the start "
                f"of the cluster {seconds[workers]:.1f} s; peak memory {watch.worker / 1e6:.0f} MB "
                f"a worker, {watch.main / 1e6:.0f} MB here"
            )
        again, _ = timed_build(base / "root", base / "out-2", 2)
        by, peaks = backends(base, options.runs)
    document: dict[str, Any] = {
        "cores": os.cpu_count(),
        "videos": summary.clips,
        "seconds_one_worker": seconds[1],
        "seconds_two_workers": seconds[2],
        "two_over_one": seconds[1] / seconds[2],
        "worker_peak_bytes": watch.worker,
        "main_peak_bytes": watch.main,
        "warm_resume_s": again,
        "build_over_resume": whole / again,
        "seconds_by_backend": by,
        "opencv_over_numba": by[OPENCV] / by[NUMBA],
        "worker_peak_bytes_by_backend": peaks,
    }
    print(
        f"two workers {document['two_over_one']:.2f} times as fast as one; a finished build is "
        f"verified and kept in {again:.3f} s, {document['build_over_resume']:.0f} times faster"
    )
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
