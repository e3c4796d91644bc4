"""Whether a manifest agrees with itself and with what lies in its shards.

Pure: `mol_pipeline.shards.opening` reads the shards, everybody who reads shards compares. Found are
changed labels, names, people, key frames, rows, numbers and settings, exchanged shards and
records, with or without a manifest whose hash was made anew. Not found in this way is what the
shards do not hold: provenance, corrections, rejected videos, counts and notes; for those there
is the manifest's hash alone.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.documents import shortened
from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.files import hash_document
from mol_pipeline.contract.labels import (
    LABEL_MAPPINGS,
    OWN_WORDS,
    LabelMapping,
    labels_under_every_mapping,
)
from mol_pipeline.contract.manifest import Manifest, ShardRecord, VideoRecord
from mol_pipeline.contract.manifest_file import read_manifest
from mol_pipeline.contract.shard_layout import FaceStatus, number_columns, text_columns
from mol_pipeline.contract.video_table import table_numbers, table_texts


@dataclass(frozen=True)
class ShardContents:
    """What a shard says about itself."""

    schema_version: int
    config_hash: str
    content_hash: str
    frames_per_clip: int
    video_of_row: NDArray[np.int32]
    """`[K]`."""
    face_status: NDArray[np.uint8]
    """`[K, t]`."""
    texts: Mapping[str, Sequence[str]]
    """Columns of the table of videos."""
    numbers: Mapping[str, Sequence[int]]


def read_consistent(directory: Path) -> Manifest:
    """A manifest that agrees with itself; its shards are not opened.

    Raises:
        ManifestError: If it cannot be read, or does not agree.
    """
    manifest = read_manifest(directory)
    check_manifest(directory, manifest)
    return manifest


def check_manifest(directory: Path, manifest: Manifest) -> None:
    """Refuse a manifest that disagrees with itself.

    Raises:
        ManifestError: If it does; names the first problem and how many there are.
    """
    refuse(directory, list(manifest_problems(manifest)))


def refuse(directory: Path, problems: Sequence[str]) -> None:
    """Raise what is wrong with a directory, if anything is.

    Raises:
        ManifestError: Names the first problem and how many there are.
    """
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ManifestError(
            f"{directory}: manifest and shards disagree: {problems[0]}{more}; "
            f"run 'molprep verify {directory}'"
        )


def manifest_problems(manifest: Manifest) -> Iterator[str]:
    """Everything in which a manifest disagrees with itself or with the label mappings."""
    if manifest.config_hash != hash_document(manifest.config):
        yield "config: does not fit config_hash"
    frames = manifest.config.get("sampling", {})
    frames = frames.get("frames") if isinstance(frames, dict) else None
    if frames is not None and frames != manifest.frames_per_clip:
        yield f"frames_per_clip: is {manifest.frames_per_clip}, the settings say {frames}"
    if manifest.part is not None and manifest.part.number > manifest.part.of:
        yield f"part: {manifest.part.number} of {manifest.part.of}"
    yield from _label_problems(manifest)
    keys = Counter(video.key for video in manifest.videos)
    repeated = (key for key, count in keys.items() if count > 1)
    yield from (f"{printable(key)}: is listed several times" for key in repeated)
    for video in manifest.videos:
        if len(video.frame_times) not in {0, video.rows * manifest.frames_per_clip}:
            yield f"{_key(video)}: {len(video.frame_times)} frame_times for {video.rows} clips"
    yield from _row_problems(manifest)


def _row_problems(manifest: Manifest) -> Iterator[str]:
    """Videos against the records of their shards."""
    files = Counter(shard.file.casefold() for shard in manifest.shards)
    yield from (f"{file}: is listed several times" for file, n in files.items() if n > 1)
    videos = videos_by_shard(manifest)
    known = {shard.file for shard in manifest.shards}
    for file in videos.keys() - known:
        yield f"{_key(videos[file][0])}: lies in {file!r}, which is none of the shards"
    for shard in manifest.shards:
        row = 0
        for video in videos.get(shard.file, ()):
            if video.first_row != row:
                yield (
                    f"{_key(video)}: first_row is {video.first_row}, after the videos before it in "
                    f"{shard.file} it must be {row}"
                )
                break
            row += video.rows
        else:
            if row != shard.clips:
                yield f"{shard.file}: has {shard.clips} clips, its videos have {row} rows"
        if len(videos.get(shard.file, ())) != shard.videos:
            yield (
                f"{shard.file}: has {shard.videos} videos, "
                f"{len(videos.get(shard.file, ()))} are listed"
            )


def _label_problems(manifest: Manifest) -> Iterator[str]:
    """Mappings and labels against the tables of `contract.labels`."""
    names = Counter(one.mapping for one in manifest.mappings)
    yield from (
        f"mappings: {printable(name)} is listed twice" for name, n in names.items() if n > 1
    )
    mappings: list[LabelMapping] = []
    for one in manifest.mappings:
        known = _known_mapping(manifest.database, one.mapping, one.classes)
        if known is None:
            yield f"mappings: {printable(manifest.database)} has no {printable(one.mapping)!r}"
        elif known.classes != one.classes:
            yield (
                f"mappings: {one.mapping} has the classes {printable(', '.join(one.classes))}; "
                f"this program has {', '.join(known.classes)}"
            )
        else:
            mappings.append(known)
    if len(mappings) < len(manifest.mappings):
        return
    for video in manifest.videos:
        if video.database != manifest.database:
            yield f"{_key(video)}: is of another database than {printable(manifest.database)}"
        labels = labels_under_every_mapping(mappings, video)
        if labels != video.labels:
            yield (
                f"{_key(video)}: labels are {printable(str(video.labels))}; by its raw label "
                f"{printable(video.raw_label)!r} they must be {labels}"
            )


def _known_mapping(database: str, name: str, classes: tuple[str, ...]) -> LabelMapping | None:
    if database not in LABEL_MAPPINGS:
        if name != OWN_WORDS:
            return None
        return LabelMapping(
            OWN_WORDS, tuple(sorted(set(classes))), {word: word for word in classes}
        )
    return next((one for one in LABEL_MAPPINGS[database] if one.name == name), None)


def videos_by_shard(manifest: Manifest) -> dict[str, list[VideoRecord]]:
    """Videos of each shard file, in the order of the manifest."""
    videos: dict[str, list[VideoRecord]] = defaultdict(list)
    for video in manifest.videos:
        videos[video.shard].append(video)
    return dict(videos)


def shard_disagreements(
    manifest: Manifest, shard: ShardRecord, videos: Sequence[VideoRecord], contents: ShardContents
) -> Iterator[str]:
    """Everything in which a shard differs from its manifest.

    Args:
        manifest: Without problems of its own (`manifest_problems`).
        shard: The record of this shard.
        videos: The records of its videos, in order.
        contents: What the file says.
    """
    for name, stored, recorded in (
        ("config_hash", contents.config_hash, manifest.config_hash),
        ("content_hash", contents.content_hash, shard.content_hash),
        ("frames of a clip", contents.frames_per_clip, manifest.frames_per_clip),
        ("clips", len(contents.video_of_row), shard.clips),
        ("videos", len(contents.texts["clip"]), shard.videos),
    ):
        if stored != recorded:
            yield f"{name}: the shard has {stored}, the manifest {recorded}"
            return
    expected = np.repeat(np.arange(len(videos)), [video.rows for video in videos])
    if not np.array_equal(contents.video_of_row, expected):
        yield "rows: which clip is of which video is not as in the manifest"
        return
    for number, video in enumerate(videos):
        yield from _video_disagreements(number, video, contents)


def _key(video: VideoRecord) -> str:
    return printable(video.key)


def printable(text: str) -> str:
    """Foreign text for a message: short, and without signs that a terminal obeys."""
    return shortened(text if text.isprintable() else ascii(text))


def _video_disagreements(number: int, video: VideoRecord, contents: ShardContents) -> Iterator[str]:
    texts, numbers = table_texts(video, video.stored_key_frames), table_numbers(video)
    version = contents.schema_version
    pairs = itertools.chain(
        ((name, contents.texts[name][number], texts[name]) for name in text_columns(version)),
        ((name, contents.numbers[name][number], numbers[name]) for name in number_columns(version)),
        [("face_frames", _face_frames(video, contents), video.face_frames)],
    )
    for name, stored, recorded in pairs:
        if stored != recorded:
            yield (
                f"{_key(video)}: {name} is {printable(str(stored))!r} in the shard, "
                f"{printable(str(recorded))!r} in the manifest"
            )


def _face_frames(video: VideoRecord, contents: ShardContents) -> dict[str, int]:
    statuses = contents.face_status[video.first_row : video.first_row + video.rows]
    names = {int(status): status.name.lower() for status in FaceStatus}
    counts = enumerate(np.bincount(statuses.ravel()).tolist())
    return dict(sorted((names.get(value, str(value)), count) for value, count in counts if count))
