"""Prepare films of growing length and note the largest memory: it must stay flat.

    python benchmarks/long_film.py [--frames 1000 3000 10000] [--out FILE.json]

A film is a folder of links to two pictures, its flow is computed with one scale and one warp: what
grows with its length is measured, not the kernels. Each length has a process of its own, from the
frames through the folder of a run to the shard; `in memory` is the same without files on disk.
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from mol_pipeline.config import BuildConfig, DetectionConfig, FlowConfig
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.databases.demo.faces import load_portrait
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.graph.run_folder import RunFolder
from mol_pipeline.shards import clip_rows
from mol_pipeline.shards.files import write_shard
from mol_pipeline.stages.video import prepare_video

FAST = BuildConfig(
    detection=DetectionConfig(no_face="interpolate", upsample=0),
    flow=FlowConfig(scales=1, warps=1, inner_iterations=2, outer_iterations=2),
)
FACELESS = 10
"""Every so many frames one has no face."""


def write_film(root: Path, frames: int) -> SourceVideo:
    """Links to a picture with a face, and to one without."""
    portrait = load_portrait("astronaut")
    x, y = portrait.landmarks.mean(axis=0).astype(int)
    face = portrait.grey[max(0, y - 90) : y + 90, max(0, x - 90) : x + 90]
    picture = cv2.resize(face, (240, 240), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(root / "face.jpg"), picture)
    # Small, so that looking for a face in it takes no time.
    cv2.imwrite(str(root / "none.jpg"), np.full((240, 240), 128, np.uint8))
    folder = root / "film"
    folder.mkdir()
    names = [f"{number:06d}.jpg" for number in range(frames)]
    for number, name in enumerate(names):
        is_faceless = number % FACELESS == FACELESS - 1
        os.link(root / ("none.jpg" if is_faceless else "face.jpg"), folder / name)
    return SourceVideo(
        database="own",
        subject="1",
        person="1",
        clip="film",
        raw_label="x",
        key_frames=KeyFrames(),
        folder="film",
        frames=tuple(enumerate(names)),
    )


def measure(frames: int, in_memory: bool) -> dict[str, float]:
    """Prepare one film in this process."""
    if in_memory:
        clip_rows.SPILL_BYTES = 2**62
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        video = write_film(root, frames)
        prepare_video(video_of(video, 16), root, FAST)  # models and libraries
        start_mb, start = _largest_mb(), time.perf_counter()
        folder = RunFolder(root, "state", "run")
        made = prepare_video(video, root, FAST, scratch=root)
        outcome = folder.keep(0, video.key, made, numbers="", flow_backend="")
        prepared_mb = _largest_mb()
        write_shard(
            root / "shard-00000.h5",
            [folder.prepared(outcome)],
            compression="blosc2-zstd",
            config_hash="0" * 64,
        )
        return {
            "frames": frames,
            "in_memory": in_memory,
            "models_mb": start_mb,
            "prepared_mb": prepared_mb,
            "written_mb": _largest_mb(),
            "seconds": time.perf_counter() - start,
        }


def video_of(video: SourceVideo, frames: int) -> SourceVideo:
    """The first frames of a video."""
    return SourceVideo(**{**vars(video), "frames": video.frames[:frames]})


def _largest_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """A row per length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    context = multiprocessing.get_context("spawn")
    for frames in options.frames:
        for in_memory in (False, True):
            with context.Pool(1) as pool:
                rows.append(pool.apply(measure, (frames, in_memory)))
            print(json.dumps(rows[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
