"""Build tens of thousands of small clips and watch memory: it must stay flat.

    python benchmarks/memory.py [--videos 20000] [--workers 2] [--plot FILE.png] [--out FILE.json]

Every video is two links to the same two frames, its flow is computed with one scale and one
warp: what grows with the number of videos is measured, not the kernels.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import psutil

from mol_pipeline.config import BuildConfig, FlowConfig, SamplingConfig, ShardConfig
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.databases.demo.faces import load_portrait
from mol_pipeline.databases.demo.tables import FilmedClip, write_samm
from mol_pipeline.graph import ClusterOptions, build

FAST = BuildConfig(
    sampling=SamplingConfig(frames=2, phases="centre"),
    flow=FlowConfig(scales=1, warps=1, inner_iterations=2, outer_iterations=2),
    shards=ShardConfig(videos_per_shard=256),
)


def write_database(root: Path, videos: int) -> None:
    """Folders of two links each, and SAMM's table."""
    portrait = load_portrait("astronaut")
    x, y = portrait.landmarks.mean(axis=0).astype(int)
    face = portrait.grey[max(0, y - 90) : y + 90, max(0, x - 90) : x + 90]
    frames = []
    for number, shift in ((1, 0), (2, 1)):
        path = root / f"frame-{number}.jpg"
        image = cv2.resize(np.roll(face, shift, axis=1), (240, 240), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(path), image)
        frames.append(path)
    clips = []
    for video in range(videos):
        subject = f"{video % 900 + 6:03d}"
        name = f"{subject}_{video // 900 + 1}_{video}"
        folder = root / "SAMM" / subject / name
        folder.mkdir(parents=True)
        for number, path in enumerate(frames, start=1):
            os.link(path, folder / f"{subject}_{number:05d}.jpg")
        clips.append(
            FilmedClip(0, 0, subject, name, "Anger", "4", "micro", 1, 2, 2, first=1, last=2)
        )
    for path in frames:
        path.unlink()
    write_samm(root, clips)


class Watch(threading.Thread):
    """Resident memory of this process and its largest worker, once a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.rows: list[tuple[int, float, float]] = []
        self.done = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        """Until stopped."""
        me = psutil.Process()
        while not self.stopped.wait(1.0):
            workers = [0]
            for child in me.children(recursive=True):
                try:
                    workers.append(child.memory_info().rss)
                except psutil.Error:
                    continue
            self.rows.append((self.done, me.memory_info().rss / 1e6, max(workers) / 1e6))


def draw(rows: list[tuple[int, float, float]], path: Path) -> None:
    """Memory over videos done."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    done, here, worker = zip(*rows, strict=True)
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    axes.plot(done, here, label="main process")
    axes.plot(done, worker, label="largest worker")
    axes.set(xlabel="videos done", ylabel="resident memory, MB", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Write, build, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=20000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    watch = Watch()

    def note(progress: object) -> None:
        watch.done = progress.done

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        write_database(root, options.videos)
        index = Samm().index(root)
        watch.start()
        start = time.perf_counter()
        result = build(
            index,
            FAST,
            Path(folder) / "out",
            cluster=ClusterOptions(workers=options.workers),
            on_progress=note,
        )
        seconds = time.perf_counter() - start
        watch.stopped.set()
        watch.join()
    busy = [row for row in watch.rows if row[0] > 0]
    quarter = max(1, len(busy) // 4)
    document = {
        "videos": len(result.manifest.videos),
        "seconds": seconds,
        "main_mb_second_quarter": float(np.median([r[1] for r in busy[quarter : 2 * quarter]])),
        "main_mb_last_quarter": float(np.median([r[1] for r in busy[-quarter:]])),
        "worker_mb_second_quarter": float(np.median([r[2] for r in busy[quarter : 2 * quarter]])),
        "worker_mb_last_quarter": float(np.median([r[2] for r in busy[-quarter:]])),
    }
    print(json.dumps(document, indent=1))
    if options.plot:
        draw(busy, options.plot)
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
