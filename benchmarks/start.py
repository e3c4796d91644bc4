"""What the checks at the start of a training run cost: 2 GB of shards, warm disk.

    python benchmarks/start.py [--gigabytes 2] [--out FILE.json]

Shards are written with random clips (uncompressed, so that few clips make many bytes), then each
check is timed as `moltrain fit` does it: manifests and the tables inside the shards are compared,
and every byte is hashed by all cores. The last row is the sum, which must stay below 3 s.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mol_model.clips.shards import ShardSet
from mol_pipeline.contract.files import hash_document, hash_file
from mol_pipeline.contract.labels import LABEL_MAPPINGS, labels_under_every_mapping
from mol_pipeline.contract.manifest import ClassSet, KeyFrames, Manifest, Provenance, VideoRecord
from mol_pipeline.contract.manifest_file import write_manifest
from mol_pipeline.contract.shard_layout import CLIP_ARRAYS
from mol_pipeline.contract.video_table import table_numbers, table_texts
from mol_pipeline.shards.files import PreparedVideo, write_shard

FRAMES, CLIPS_A_VIDEO, VIDEOS_A_SHARD = 8, 4, 16
CLIP_BYTES = sum(int(np.prod(one.row_shape(FRAMES))) * one.dtype.itemsize for one in CLIP_ARRAYS)
WORDS = ("Anger", "Happiness", "Contempt", "Surprise", "Other")
REPEATS = 5


def write(directory: Path, gigabytes: float) -> int:
    """Write shards of about that size and their manifest; returns their bytes."""
    shards_wanted = max(1, round(gigabytes * 1e9 / (CLIP_BYTES * CLIPS_A_VIDEO * VIDEOS_A_SHARD)))
    rng = np.random.default_rng(0)
    arrays = {
        one.name: rng.integers(0, 4, (CLIPS_A_VIDEO, *one.row_shape(FRAMES))).astype(one.dtype)
        for one in CLIP_ARRAYS
        if one.name != "video"
    }
    arrays["frames"] = rng.integers(0, 256, arrays["frames"].shape, dtype=np.uint8)
    arrays["face_status"][:] = 0
    config = {"sampling": {"frames": FRAMES}}
    mappings = LABEL_MAPPINGS["samm"]
    shards, videos = [], []
    for number in range(shards_wanted):
        name = f"shard-{number:05d}.h5"
        some = [
            _video(f"{number % 30:03d}", f"{number}_{i}", WORDS[i % len(WORDS)], name, i)
            for i in range(VIDEOS_A_SHARD)
        ]
        videos += [
            one.model_copy(update={"labels": labels_under_every_mapping(mappings, one)})
            for one in some
        ]
        prepared = [PreparedVideo(arrays, table_texts(one), table_numbers(one)) for one in some]
        shards.append(
            write_shard(
                directory / name, prepared, compression="none", config_hash=hash_document(config)
            )
        )
    manifest = Manifest(
        database="samm",
        synthetic=True,
        config=config,
        config_hash=hash_document(config),
        frames_per_clip=FRAMES,
        mappings=tuple(ClassSet(mapping=one.name, classes=one.classes) for one in mappings),
        provenance=Provenance(
            versions={},
            landmark_model_sha256="0" * 64,
            annotation_file=None,
            annotation_sha256=None,
            source_fingerprint="0" * 64,
        ),
        shards=tuple(shards),
        videos=tuple(videos),
    )
    write_manifest(manifest, directory)
    return sum(shard.bytes for shard in shards)


def _video(subject: str, clip: str, word: str, shard: str, position: int) -> VideoRecord:
    return VideoRecord(
        database="samm",
        subject=subject,
        person=f"samm/{subject}",
        clip=clip,
        raw_label=word,
        labels={},
        key_frames=KeyFrames(),
        frames_found=FRAMES * CLIPS_A_VIDEO,
        face_frames={"detected": FRAMES * CLIPS_A_VIDEO},
        shard=shard,
        first_row=position * CLIPS_A_VIDEO,
        rows=CLIPS_A_VIDEO,
    )


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Median seconds of some repeats, by the clock and by the processors."""
    wall, cpu = [], []
    for _ in range(REPEATS):
        started, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    return {
        "seconds": statistics.median(wall),
        "least_seconds": min(wall),
        "cpu_seconds": statistics.median(cpu),
    }


def main() -> None:
    """A row per check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        size = write(directory, options.gigabytes)
        shards = sorted(directory.glob("*.h5"))
        for path in shards:
            hash_file(path)  # into the page cache
        rows = {
            "manifest against the tables in the shards": timed(lambda: ShardSet([directory])),
            "every byte, one thread": timed(lambda: [hash_file(path) for path in shards]),
        }

        def check() -> None:
            ShardSet([directory]).check_bytes()

        rows["both, as a run begins"] = timed(check)
        unchanged = ShardSet([directory])
        unchanged.check_bytes()
        rows["nothing has changed, at the end"] = timed(unchanged.check_unchanged)
    print(f"{size / 1e9:.2f} GB in {len(shards)} shards, {os.cpu_count()} cores")
    print(f"{'':44} {'median s':>9} {'least s':>9} {'CPU s':>9}")
    for name, row in rows.items():
        print(
            f"{name:44} {row['seconds']:9.3f} {row['least_seconds']:9.3f} {row['cpu_seconds']:9.3f}"
        )
    if options.out:
        document = {"bytes": size, "shards": len(shards), "cores": os.cpu_count(), **rows}
        options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
