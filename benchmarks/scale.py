"""Plan for large databases: tasks, shards, bytes, hours, and what gives way first.

    python benchmarks/scale.py [SHARDS] [--tasks N] [--out FILE.json]

SHARDS is a directory that `molprep build` wrote (without it all is as recorded before, but
the time of preparation); it gives clips per video, bytes per clip and the
bytes of the manifest. Dask's own time for a task is measured: tasks that do nothing, each with
the arguments of a real one, are streamed through a scheduler as a build does. Their one worker is a
thread of the same process, so that nothing but Dask is in the figure, and it is an upper bound for
the scheduler, which on a cluster has its process for itself. The rest is arithmetic with
`prep.json` (seconds per clip) and `memory.json` (memory of the main process per video).
"""

import argparse
import itertools
import json
import math
import pickle
import time
import tracemalloc
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster, as_completed

from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.contract.manifest_file import MANIFEST_NAME, read_manifest
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.graph.cluster import TASKS_PER_WORKER

RESULTS = Path(__file__).parent / "results"
CLIPS = tuple(10**power for power in range(3, 8))
WORKERS = 256
"""Processes of the cluster that is planned for."""
MAIN_MEMORY = 16e9
"""Bytes of memory that the main process may take."""
MOST_FILES = 100_000
"""Files in a directory from which shared file systems become slow to list."""


def nothing(*arguments: object) -> str:
    """Task that costs Dask alone."""
    return ""


def segment(number: int) -> SourceVideo:
    """Argument of a real task: 32 frames of a long video."""
    return SourceVideo(
        database="aff-wild2",
        subject=f"video{number // 100}",
        person=f"aff-wild2/video{number // 100}",
        clip=f"video{number // 100}/{number % 100:05d}",
        raw_label="Neutral",
        key_frames=KeyFrames(),
        folder=f"cropped_aligned/video{number // 100}",
        frames=tuple((32 * number + i, f"{32 * number + i:05d}.jpg") for i in range(32)),
    )


def time_per_task(tasks: int) -> float:
    """Seconds of Dask for one task, with the window of `WORKERS` workers in flight."""
    arguments: tuple[Any, ...] = (Path("/data/aff-wild2"), BuildConfig(), Path("model.dat"))
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        pool = as_completed(loop=client.loop)
        numbers = iter(range(tasks))

        def submit(most: int) -> None:
            for number in itertools.islice(numbers, most):
                pool.add(
                    client.submit(
                        nothing, segment(number), *arguments, key=f"video-{number}", pure=False
                    )
                )

        start = time.perf_counter()
        submit(WORKERS * TASKS_PER_WORKER)
        for _ in pool:
            submit(1)
        return (time.perf_counter() - start) / tasks


def index_bytes(videos: int = 10_000) -> float:
    """Memory of the index per video, which the main process holds from the start."""
    tracemalloc.start()
    kept = [segment(number) for number in range(videos)]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken / len(kept)


def recorded(name: str) -> Any:
    """Figures of another benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def measure(directory: Path, tasks: int) -> dict[str, float]:
    """What a clip, a video and a task cost."""
    manifest = read_manifest(directory)
    memory = recorded("memory")
    grown = memory["main_mb_last_quarter"] - memory["main_mb_second_quarter"]
    return {
        "clips_per_video": manifest.clips / len(manifest.videos),
        "bytes_per_clip": sum(shard.bytes for shard in manifest.shards) / manifest.clips,
        "frames_per_clip": manifest.frames_per_clip,
        "manifest_bytes_per_video": (directory / MANIFEST_NAME).stat().st_size
        / len(manifest.videos),
        "index_bytes_per_video": index_bytes(),
        # Means over two quarters of the build, half of it apart.
        "growth_bytes_per_video": 1e6 * grown / (memory["videos"] / 2),
        "task_bytes": len(pickle.dumps((segment(0), BuildConfig()))),
        **time_of_preparation(),
        "tasks_measured": tasks,
        "dask_seconds_per_task": time_per_task(tasks),
    }


def costs_again() -> dict[str, float]:
    """The costs of the last measurement, with the time of preparation as it is recorded now."""
    before = recorded("scale")
    cost = {name: value for name, value in before.items() if isinstance(value, int | float)}
    del cost["workers"]
    return {**cost, **time_of_preparation()}


def time_of_preparation() -> dict[str, float]:
    """Of a clip, as `prep.py` measured it."""
    ours = [sum(row["seconds_per_clip"]["ours"].values()) for row in recorded("prep")]
    return {
        "seconds_per_clip": sum(ours) / len(ours),
        "clips_per_core_hour": 3600 * len(ours) / sum(ours),
    }


def plan(clips: int, cost: dict[str, float], per_video: float, per_shard: int) -> dict[str, Any]:
    """A build of so many clips on `WORKERS` processes."""
    videos = math.ceil(clips / per_video)
    shards = math.ceil(videos / per_shard)
    tasks = videos + shards
    row = {
        "clips": clips,
        "videos": videos,
        "tasks": tasks,
        "shards": shards,
        "terabytes": clips * cost["bytes_per_clip"] / 1e12,
        "core_hours": clips * cost["seconds_per_clip"] / 3600,
        "hours_of_work": clips * cost["seconds_per_clip"] / 3600 / WORKERS,
        "hours_of_dask": tasks * cost["dask_seconds_per_task"] / 3600,
        "main_memory_gb": videos
        * (cost["index_bytes_per_video"] + cost["growth_bytes_per_video"])
        / 1e9,
        "manifest_mb": videos * cost["manifest_bytes_per_video"] / 1e6,
    }
    # How much of each limit is used; the largest gives way first when the work grows.
    used = {
        "memory of the main process": row["main_memory_gb"] * 1e9 / MAIN_MEMORY,
        "the scheduler": row["hours_of_dask"] / row["hours_of_work"],
        "files in the directory": shards / MOST_FILES,
    }
    first = max(used, key=lambda name: used[name])
    return {**row, "used": used, "gives_way_first": first, "holds": used[first] < 1}


def main() -> None:
    """A row per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path, nargs="?", help="None: costs as recorded, but prep")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cost = measure(options.shards, options.tasks) if options.shards else costs_again()
    for name, value in cost.items():
        print(f"{name:30} {value:14.4g}")
    per_shard = BuildConfig().shards.videos_per_shard
    rows = [plan(clips, cost, cost["clips_per_video"], per_shard) for clips in CLIPS]
    # Aff-Wild2 has 2.8 million frames; a segment of 32 frames gives 4 clips of 8.
    frames = BuildConfig().segments.frames
    per_segment = frames / cost["frames_per_clip"]
    large = {
        name: plan(round(count / cost["frames_per_clip"]), cost, per_segment, per_shard)
        for name, count in (("aff-wild2", 2.8e6), ("a hundred aff-wild2", 2.8e8))
    }
    print(f"{'clips':>10} {'tasks':>9} {'shards':>8} {'TB':>7} {'core h':>8}  gives way first")
    for row in [*rows, *large.values()]:
        first = row["gives_way_first"]
        print(
            f"{row['clips']:10} {row['tasks']:9} {row['shards']:8} {row['terabytes']:7.3f} "
            f"{row['core_hours']:8.1f}  {first} ({100 * row['used'][first]:.1f} % used)"
        )
    if options.out:
        document = {"workers": WORKERS, **cost, "sizes": rows, "databases": large}
        options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
