"""Choose the compression of shards by measurement, and what checksums cost: size, write, read.

    python benchmarks/shards.py SHARDS [--out FILE.json]

SHARDS is a directory that `molprep build` wrote: real frames, flow and landmarks. They are
written anew with each compression and read clip by clip in a random order, from page cache, in
one process; rates are for a second of a core. The last column is what training asks of a core:
clips per second. The compressions that are settings are measured with and without HDF5's
Fletcher32, in turns.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from mol_pipeline.contract.manifest_file import read_manifest
from mol_pipeline.shards.files import open_shard

ARRAYS = ("frames", "flow", "landmarks")
SETTINGS = ("none", "gzip 6 + shuffle", "blosc2 lz4 5 + shuffle", "blosc2 zstd 1 + shuffle")
"""Those of `ShardConfig.compression`."""
COMPRESSIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "gzip 6 + shuffle": {"compression": "gzip", "compression_opts": 6, "shuffle": True},
    "zstd 5": dict(hdf5plugin.Zstd(clevel=5)),
    "blosc2 lz4 5 + shuffle": dict(hdf5plugin.Blosc2(cname="lz4", clevel=5, filters=1)),
    "blosc2 zstd 1 + shuffle": dict(hdf5plugin.Blosc2(cname="zstd", clevel=1, filters=1)),
    "blosc2 zstd 5 + shuffle": dict(hdf5plugin.Blosc2(cname="zstd", clevel=5, filters=1)),
    "blosc2 zstd 5 + bitshuffle": dict(hdf5plugin.Blosc2(cname="zstd", clevel=5, filters=2)),
}


def load(directory: Path, most: int) -> dict[str, np.ndarray]:
    """Clips of a build, in memory."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
    for shard in read_manifest(directory).shards:
        with open_shard(directory / shard.file) as file:
            for name in ARRAYS:
                parts[name].append(file[name][:])
        if sum(map(len, parts["frames"])) >= most:
            break
    return {name: np.concatenate(arrays)[:most] for name, arrays in parts.items()}


def measure(arrays: dict[str, np.ndarray], options: dict[str, Any], path: Path) -> dict[str, float]:
    """Write and read one file."""
    start = time.process_time()
    with h5py.File(path, "w", libver="latest") as file:
        for name, data in arrays.items():
            file.create_dataset(name, data=data, chunks=(1, *data.shape[1:]), **options)
    written = time.process_time() - start
    clips = len(arrays["frames"])
    order = np.random.default_rng(0).permutation(np.tile(np.arange(clips), 5))
    rates = []
    with h5py.File(path, "r") as file:
        for _ in range(3):
            datasets = [file[name] for name in ARRAYS]
            start = time.process_time()
            for clip in order:
                for dataset in datasets:
                    dataset[clip]
            rates.append(len(order) / (time.process_time() - start))
    raw = sum(data.nbytes for data in arrays.values())
    return {
        "size": path.stat().st_size / raw,
        "write_mb_per_s": raw / written / 1e6,
        "clips_per_s": float(np.median(rates)),
        "read_mb_per_s": float(np.median(rates)) * raw / clips / 1e6,
    }


def variants() -> dict[str, dict[str, Any]]:
    """Every compression; those that are settings also with checksums."""
    found: dict[str, dict[str, Any]] = {}
    for name, filters in COMPRESSIONS.items():
        found[name] = filters
        if name in SETTINGS:
            found[f"{name} + checksums"] = {**filters, "fletcher32": True}
    return found


def main() -> None:
    """A row per compression."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--clips", type=int, default=128)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    arrays = load(options.shards, options.clips)
    raw = sum(data[0].nbytes for data in arrays.values())
    print(f"{len(arrays['frames'])} clips, {raw / 1e6:.2f} MB each uncompressed")
    print(f"{'compression':36} {'size':>6} {'write MB/s':>11} {'read MB/s':>10} {'clips/s':>9}")
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, filters in variants().items():
            row = measure(arrays, filters, Path(folder) / "shard.h5")
            rows[name] = row
            print(
                f"{name:36} {row['size']:6.2f} {row['write_mb_per_s']:11.0f} "
                f"{row['read_mb_per_s']:10.0f} {row['clips_per_s']:9.0f}"
            )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
