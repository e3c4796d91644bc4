"""Stored clips as plain files, for people with other tools, and a Croissant description.

clips.csv                                   one line per clip: identity, labels, files
SUBJECT/CLIP/phase-00/frame-0.png           grey, 144x144
                      landmarks.csv         frame, point, x, y in pixels of the picture
                      flow.npz              `flow` [t-1, 2, 144, 144], (u right, v down)
croissant.json                              what the shards are, for dataset catalogues
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.escaping import TableWriter
from mol_pipeline.contract.manifest import Manifest, VideoRecord
from mol_pipeline.contract.names import file_name
from mol_pipeline.shards.files import open_shard

CLIP_LIST = "clips.csv"


def new_directory(out: Path) -> None:
    """Make a directory that nothing lies in.

    Raises:
        ConfigError: If it is in use.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: already in use; name a new or empty directory")
    out.mkdir(parents=True, exist_ok=True)


def export_clips(
    directory: Path,
    manifest: Manifest,
    out: Path,
    *,
    on_video: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write every clip as PNG, CSV and npz; returns how many.

    Args:
        directory: Of the shards.
        manifest: Theirs.
        out: New or empty.
        on_video: Called with (videos done, videos in all).

    Raises:
        ConfigError: If `out` is in use.
        ManifestError: If a shard cannot be read.
    """
    new_directory(out)
    mappings = [one.mapping for one in manifest.mappings]
    written = 0
    with (out / CLIP_LIST).open("w", newline="", encoding="utf-8") as file:
        table = TableWriter(file)
        table.row(
            ["folder", "database", "subject", "person", "clip", "phase", "raw_label"]
            + [f"class_{mapping}" for mapping in mappings]
            + ["source_frames", "synthetic"]
        )
        for done, video in enumerate(manifest.videos, start=1):
            labels = [video.labels.get(mapping, "") for mapping in mappings]
            for folder, phase, numbers in _export_video(directory, video, out):
                identity = [folder, video.database, video.subject, video.person, video.clip, phase]
                listed = " ".join(map(str, numbers))
                synthetic = "yes" if manifest.synthetic else "no"
                table.row([*identity, video.raw_label, *labels, listed, synthetic])
                written += 1
            on_video(done, len(manifest.videos))
    return written


def _export_video(
    directory: Path, video: VideoRecord, out: Path
) -> Iterable[tuple[str, int, list[int]]]:
    """(folder, phase, source frames) of every clip that was written."""
    rows = slice(video.first_row, video.first_row + video.rows)
    with open_shard(directory / video.shard) as shard:
        names = ("frames", "flow", "landmarks", "phase", "source_frames")
        arrays = {name: shard[name][rows] for name in names}
    for row, phase in enumerate(arrays["phase"].tolist()):
        folder = Path(file_name(video.subject), file_name(video.clip), f"phase-{phase:02d}")
        place = out / folder
        place.mkdir(parents=True)
        for index, frame in enumerate(arrays["frames"][row]):
            _, content = cv2.imencode(".png", frame)
            (place / f"frame-{index}.png").write_bytes(content.tobytes())
        with (place / "landmarks.csv").open("w", newline="", encoding="utf-8") as file:
            points = TableWriter(file)
            points.row(["frame", "point", "x", "y"])
            for index, frame_points in enumerate(arrays["landmarks"][row]):
                for point, (x, y) in enumerate(frame_points):
                    points.row([index, point, f"{x:.4f}", f"{y:.4f}"])
        np.savez_compressed(place / "flow.npz", flow=arrays["flow"][row])
        yield folder.as_posix(), phase, arrays["source_frames"][row].tolist()
