"""TV-L1 by compiled loops against OpenCV, pair by pair in one run.

    python benchmarks/flow.py [--pairs 100] [--out FILE.json]

Seconds are those of the processor on one thread, so that a machine that others use counts little;
each pair is solved by both, one after the other, in turns. Real faces are read where they are to
be had (`tests/flow_pairs.py`). Besides: what an iteration costs a pixel, and what the divisions and
roots in it cost alone, which no order of the loops can avoid; two processes against one; the first
use with an empty cache of compiled code.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numba
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from mol_pipeline.config import FlowConfig
from mol_pipeline.kernels import flow as kernels_flow
from mol_pipeline.kernels.flow_compiled import CompiledSolver
from tests.flow_pairs import FACES, Pair, demo_pairs, real_pairs

FLOPS = 60
"""Float operations of one iteration on one pixel: 32 of the primal step, 28 of the dual ones."""
ROUNDS = 5


def compare(name: str, pairs: Iterable[Pair]) -> dict[str, Any]:
    """Ratios over pairs, and what an iteration costs."""
    compiled = CompiledSolver(FlowConfig())
    reference = kernels_flow._OpenCVSolver(FlowConfig())
    seconds: dict[str, list[float]] = {"numba": [], "opencv": []}
    work, equal, before = [], 0, 0
    for number, pair in enumerate(pairs):
        flows = {}
        order = (("numba", compiled), ("opencv", reference))
        for which, solver in order if number % 2 else reversed(order):
            start = time.thread_time()
            flows[which] = solver(*pair)
            seconds[which].append(time.thread_time() - start)
        equal += flows["numba"].tobytes() == flows["opencv"].tobytes()
        work.append(compiled.work - before)
        before = compiled.work
    ratios = sorted(np.divide(seconds["opencv"], seconds["numba"]))
    row = {
        "pairs": len(work),
        "equal": equal,
        "ratio": statistics.median(ratios),
        "ratio_p10": float(np.percentile(ratios, 10)),
        "ratio_p90": float(np.percentile(ratios, 90)),
        "ms_numba": 1e3 * statistics.median(seconds["numba"]),
        "ms_opencv": 1e3 * statistics.median(seconds["opencv"]),
        "pixel_iterations_per_pair": statistics.median(work),
        "ns_per_pixel_iteration_numba": 1e9 * sum(seconds["numba"]) / sum(work),
        "ns_per_pixel_iteration_opencv": 1e9 * sum(seconds["opencv"]) / sum(work),
    }
    print(
        f"{name}: {row['pairs']} pairs, {equal} with equal bytes; numba {row['ratio']:.1f} times "
        f"as fast as OpenCV (P10 {row['ratio_p10']:.1f}, P90 {row['ratio_p90']:.1f}): "
        f"{row['ms_numba']:.1f} ms against {row['ms_opencv']:.1f} ms a pair; "
        f"{row['ns_per_pixel_iteration_numba']:.2f} and "
        f"{row['ns_per_pixel_iteration_opencv']:.1f} ns a pixel and iteration"
    )
    return row


@numba.njit(error_model="numpy")
def _only_divisions(rounds: int, values: Any, out: Any) -> None:
    """Of each pixel the five divisions and two roots of an iteration, and nothing else."""
    for _ in range(rounds):
        for x in range(values.shape[0]):
            value, wide = values[x], np.float64(values[x])
            root = np.float32(sqrt(wide)) + np.float32(sqrt(wide + 1.0))
            a, b, c = value / out[0, x], value / out[1, x], value / out[2, x]
            d, e = value / out[3, x], value / out[4, x]
            out[5, x] = root + a + b + c + d + e


def bound_ns() -> float:
    """Nanoseconds a pixel of divisions and roots alone, from the nearest cache."""
    values, out = np.full(512, 3, np.float32), np.full((6, 512), 2, np.float32)
    _only_divisions(1, values, out)

    def once() -> float:
        start = time.thread_time()
        _only_divisions(20_000, values, out)
        return (time.thread_time() - start) / 20_000 / 512

    return 1e9 * min(once() for _ in range(ROUNDS))


def iteration_ns() -> float:
    """Nanoseconds a pixel of the compiled iteration alone, at 144x144."""
    from mol_pipeline.kernels import flow_sweeps as sweeps

    planes = np.random.default_rng(0).random((sweeps.PLANES, 145, sweeps.stride(144)), np.float32)
    one = np.float32(1)

    def once() -> float:
        start = time.thread_time()
        sweeps.iterate(planes, 144, np.float32(0), one / 25, one / 3, one / 2, 300)
        return (time.thread_time() - start) / 300 / 144**2

    return 1e9 * min(once() for _ in range(ROUNDS))


def _solve(pairs: list[Pair]) -> None:
    cv2.setNumThreads(1)
    solver = CompiledSolver(FlowConfig())
    for pair in pairs:
        solver(*pair)


def two_over_one(pairs: list[Pair]) -> float:
    """How many times as much two processes solve as one, in the same time; by the wall clock."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:

        def timed(processes: int) -> float:
            start = time.perf_counter()
            list(pool.map(_solve, [pairs] * processes))
            return time.perf_counter() - start

        timed(2)  # libraries
        return statistics.median(2 * timed(1) / timed(2) for _ in range(ROUNDS))


def first_use(folder: Path) -> float:
    """Seconds from the start of a process until its solver is proved."""
    code = "from mol_pipeline.kernels.flow import backend; assert backend().name == 'numba'"
    start = time.perf_counter()
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - start


def main() -> None:
    """Both kinds of faces, unless real ones are not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100, help="of each kind")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    demo = list(itertools.islice(demo_pairs(subjects=8, frames=16), options.pairs))
    document: dict[str, Any] = {
        "opencv": cv2.__version__,
        "numba": numba.__version__,
        "processor": cpu_name(),
        "load_before": os.getloadavg()[0],
        "demo": compare("demo", demo),
    }
    if FACES.is_dir():
        real = list(itertools.islice(real_pairs(9, 1, 27), options.pairs))
        document["real"] = compare("real faces", real)
    document["ns_iteration_alone"] = iteration_ns()
    document["ns_divisions_and_roots_alone"] = bound_ns()
    document["gflops_iteration_alone"] = FLOPS / document["ns_iteration_alone"]
    print(
        f"an iteration alone takes {document['ns_iteration_alone']:.2f} ns a pixel "
        f"({document['gflops_iteration_alone']:.0f} GFLOP/s), its divisions and roots alone "
        f"{document['ns_divisions_and_roots_alone']:.2f} ns"
    )
    document["two_processes_over_one"] = two_over_one(demo[:20])
    with tempfile.TemporaryDirectory() as folder:
        document["first_use_cold_s"] = first_use(Path(folder))
        document["first_use_warm_s"] = statistics.median(first_use(Path(folder)) for _ in range(3))
    print(
        f"two processes {document['two_processes_over_one']:.2f} times one; first use "
        f"{document['first_use_cold_s']:.1f} s with an empty cache, "
        f"{document['first_use_warm_s']:.1f} s afterwards"
    )
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n")


def cpu_name() -> str:
    """The processor, as LLVM calls it: what the loops are compiled for."""
    from llvmlite import binding

    return str(binding.get_host_cpu_name())


if __name__ == "__main__":
    main()
