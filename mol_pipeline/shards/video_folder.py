"""Stored clips as films in folders, as `datasets.load_dataset("videofolder", ...)` takes them.

    train/metadata.csv                              file_name, label, identity, key frames, units
    train/anger/samm-006-006_1_2-00.mkv             grey, 144x144, without loss
    test/...                                        the same, for the subjects that are named

The library takes labels from `metadata.csv` where there is one; folders are called by class for
people, and for programs that go by folders. A clip that takes no part in the mapping lies in
`no-class` with an empty label.

Convention: films are FFV1 in Matroska, in which no bit of a frame is lost. Frames are sampled
evenly from a clip, so that a film's rate of 25 a second is only how fast it is shown.

Source:
    https://huggingface.co/docs/datasets/video_dataset
"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.action_units import CD6ME_UNITS, values_of
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.escaping import TableWriter
from mol_pipeline.contract.manifest import Manifest, VideoRecord
from mol_pipeline.contract.names import file_name
from mol_pipeline.contract.unit_notation import ACTION_UNITS
from mol_pipeline.shards.export import new_directory
from mol_pipeline.shards.files import open_shard

METADATA_NAME = "metadata.csv"
NO_CLASS = "no-class"
FRAMES_A_SECOND = 25


def write_video_folder(
    directory: Path,
    manifest: Manifest,
    out: Path,
    *,
    mapping: str | None = None,
    tested: Sequence[str] = (),
    on_video: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write every clip as a film, and a table of them for each split; returns how many.

    Args:
        directory: Of the shards.
        manifest: Theirs.
        out: New or empty.
        mapping: Whose classes name the folders; None: the first.
        tested: Subjects, or people as `database/subject`, whose clips go to `test`.
        on_video: Called with (videos done, videos in all).

    Raises:
        ConfigError: If `out` is in use, or there is no such mapping or subject.
        ManifestError: If a shard cannot be read.
    """
    mapping = mapping or manifest.mappings[0].mapping
    if mapping not in manifest.classes:
        known = ", ".join(manifest.classes)
        raise ConfigError(f"--classes {mapping}: no such mapping; there are {known}")
    people = _people(manifest, tested)
    new_directory(out)
    written = 0
    with contextlib.ExitStack() as files:
        tables: dict[str, TableWriter] = {}
        for done, video in enumerate(manifest.videos, start=1):
            split = "test" if video.person in people else "train"
            if split not in tables:
                (out / split).mkdir()
                file = (out / split / METADATA_NAME).open("w", newline="", encoding="utf-8")
                tables[split] = TableWriter(files.enter_context(file))
                tables[split].row(_head(manifest))
            written += _write_video(directory, manifest, video, mapping, out / split, tables[split])
            on_video(done, len(manifest.videos))
    return written


def _people(manifest: Manifest, tested: Sequence[str]) -> set[str]:
    """The people who are meant by names of subjects.

    Raises:
        ConfigError: If nobody is called so, or everybody would be tested.
    """
    people: set[str] = set()
    for name in tested:
        found = {video.person for video in manifest.videos if name in (video.subject, video.person)}
        if not found:
            raise ConfigError(f"--test {name}: no such subject in these shards")
        people |= found
    if people and people == {video.person for video in manifest.videos}:
        raise ConfigError("--test: names everybody; nobody is left for train")
    return people


def _head(manifest: Manifest) -> list[str]:
    return [
        *("file_name", "label", "database", "subject", "person", "clip", "phase", "raw_label"),
        *(f"class_{one.mapping}" for one in manifest.mappings),
        *("onset", "apex", "offset", "source_frames", ACTION_UNITS),
        *(f"au{unit}" for unit in CD6ME_UNITS),
        "synthetic",
    ]


def _write_video(
    directory: Path,
    manifest: Manifest,
    video: VideoRecord,
    mapping: str,
    place: Path,
    table: TableWriter,
) -> int:
    """Films and lines of one video; returns how many."""
    rows = slice(video.first_row, video.first_row + video.rows)
    with open_shard(directory / video.shard) as shard:
        frames, phases, sources = (
            shard[name][rows] for name in ("frames", "phase", "source_frames")
        )
    label = video.labels.get(mapping, "")
    folder = file_name(label) if label else NO_CLASS
    (place / folder).mkdir(exist_ok=True)
    keys = video.key_frames
    units = ["" if value < 0 else value for value in values_of(video.known_units)]
    for row, phase in enumerate(phases.tolist()):
        name = f"{folder}/{file_name(video.database, video.subject, video.clip)}-{phase:02d}.mkv"
        _write_film(place / name, frames[row])
        table.row(
            [name, label, video.database, video.subject, video.person, video.clip, phase]
            + [video.raw_label, *(video.labels.get(one, "") for one in manifest.classes)]
            + ["" if key is None else key for key in (keys.onset, keys.apex, keys.offset)]
            + [" ".join(map(str, sources[row].tolist()))]
            + [video.annotations.get(ACTION_UNITS, ""), *units]
            + ["yes" if manifest.synthetic else "no"]
        )
    return len(phases)


def _write_film(path: Path, frames: NDArray[np.uint8]) -> None:
    """Write grey frames `[t, height, width]`; equal frames give equal bytes."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("ffv1", rate=FRAMES_A_SECOND)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "gray"
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        stream.codec_context.thread_count = 1
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(stream.encode())
