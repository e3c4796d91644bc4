"""Join the outputs of several builds into one directory with one manifest."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mol_pipeline.contract.files import atomically
from mol_pipeline.contract.manifest import (
    Manifest,
    RejectedVideo,
    ShardRecord,
    VideoRecord,
    read_manifest,
    write_manifest,
)
from mol_pipeline.errors import ConfigError, ManifestError
from mol_pipeline.shards import shard_problems


def merge(directories: Sequence[Path], out: Path) -> Manifest:
    """Copy the shards of several directories into one and write their common manifest.

    The parts of one build give the bytes that the whole build would have given. Builds of
    different releases of one database are joined in the order given, their shards renumbered.

    Args:
        directories: Each with a manifest, its shards whole.
        out: New or empty.

    Raises:
        ConfigError: If the builds do not go together, a part is missing, or `out` is in use.
        ManifestError: If a directory is damaged.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: already in use; name a new or empty directory")
    manifests = [read_manifest(directory) for directory in directories]
    for directory, manifest in zip(directories, manifests, strict=True):
        for problem in shard_problems(directory, manifest.shards):
            raise ManifestError(
                f"{directory / problem.where}: {problem.message}; build that part again first"
            )
    _check_alike(directories, manifests)
    parts = _in_order(directories, manifests)
    _check_distinct(parts)
    merged = _joined([manifest for _, manifest in parts])
    out.mkdir(parents=True, exist_ok=True)
    files = iter(merged.shards)
    for directory, manifest in parts:
        for shard in manifest.shards:
            # By rename: a merge that is stopped leaves no half of a shard under its name.
            with atomically(out / next(files).file) as place:
                shutil.copyfile(directory / shard.file, place)
    write_manifest(merged, out)
    return merged


def _check_alike(directories: Sequence[Path], manifests: Sequence[Manifest]) -> None:
    first = manifests[0]
    for directory, manifest in zip(directories[1:], manifests[1:], strict=True):
        for what, mine, theirs in (
            ("database", first.database, manifest.database),
            ("settings", first.config_hash, manifest.config_hash),
            ("label mappings", first.mappings, manifest.mappings),
            ("being synthetic", first.synthetic, manifest.synthetic),
            ("number of parts", _parts_of(first), _parts_of(manifest)),
            (
                "source files",
                first.part and first.provenance.source_fingerprint,
                manifest.part and manifest.provenance.source_fingerprint,
            ),
        ):
            if mine != theirs:
                raise ConfigError(
                    f"{directory} and {directories[0]} differ in {what}; only builds of one "
                    "database with one set of settings can be merged"
                )


def _parts_of(manifest: Manifest) -> int | None:
    return manifest.part.of if manifest.part else None


def _in_order(
    directories: Sequence[Path], manifests: Sequence[Manifest]
) -> list[tuple[Path, Manifest]]:
    """Parts by their number; other builds as they were given."""
    pairs = list(zip(directories, manifests, strict=True))
    of = _parts_of(manifests[0])
    if of is None:
        return pairs
    numbers = Counter(manifest.part.number for manifest in manifests if manifest.part)
    missing = [number for number in range(1, of + 1) if number not in numbers]
    twice = [number for number, count in numbers.items() if count > 1]
    if missing or twice:
        words = [f"missing {missing}"] * bool(missing) + [f"twice {twice}"] * bool(twice)
        raise ConfigError(f"not the {of} parts of a build: {', '.join(words)}")
    return sorted(pairs, key=lambda pair: pair[1].part.number if pair[1].part else 0)


def _check_distinct(parts: Sequence[tuple[Path, Manifest]]) -> None:
    seen: dict[str, Path] = {}
    for directory, manifest in parts:
        for video in manifest.videos:
            if video.key in seen:
                raise ConfigError(f"{video.key} is in {seen[video.key]} and in {directory}")
            seen[video.key] = directory


def _joined(manifests: Sequence[Manifest]) -> Manifest:
    first = manifests[0]
    whole = first.part is not None
    shards: list[ShardRecord] = []
    videos: list[VideoRecord] = []
    rejected: list[RejectedVideo] = []
    for manifest in manifests:
        names = {}
        for shard in manifest.shards:
            name = shard.file if whole else f"shard-{len(shards):05d}.h5"
            names[shard.file] = name
            shards.append(shard.model_copy(update={"file": name}))
        videos += [
            video.model_copy(update={"shard": names[video.shard]}) for video in manifest.videos
        ]
        # What was rejected while indexing is in every part: once is enough.
        rejected += [one for one in manifest.rejected if one not in rejected]
    return first.model_copy(
        update={
            "shards": tuple(shards),
            "videos": tuple(videos),
            "rejected": tuple(rejected),
            "part": None,
        }
    )
