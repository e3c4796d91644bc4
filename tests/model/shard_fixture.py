"""A small prepared database straight from the contract: textures that move in a known way."""

from pathlib import Path

import h5py
import numpy as np

from mol_pipeline.contract.files import hash_file
from mol_pipeline.contract.labels import EMOTION, LABEL_MAPPINGS
from mol_pipeline.contract.manifest import (
    ClassSet,
    KeyFrames,
    Manifest,
    Provenance,
    ShardRecord,
    VideoRecord,
    write_manifest,
)
from mol_pipeline.contract.shard_layout import ALIGNED_PX, CLIP_ARRAYS, SCHEMA_VERSION

WORDS = ("Anger", "Happiness", "Contempt", "Surprise", "Other")
WORDS_OF = {
    "casme2": ("happiness", "disgust", "repression", "surprise", "others"),
    "smic-hs": ("negative", "positive", "surprise"),
}
"""Databases with words and mappings of their own; all others speak as SAMM does."""


def face_points() -> np.ndarray:
    """68 points in the frame with eyes a plausible distance apart, `[68, 2]`."""
    points = np.random.default_rng(0).uniform(40, 100, (68, 2))
    points[36:42] = (50, 60)
    points[42:48] = (94, 60)
    return points.astype(np.float32)


def write_shards(
    directory: Path,
    *,
    subjects: int = 3,
    words: tuple[str, ...] | None = None,
    frames: int = 4,
    phases: int = 2,
    synthetic: bool = True,
    first_subject: int = 6,
    database: str = "samm",
    broken_subject: int | None = None,
) -> Path:
    """Write one shard and its manifest: a video per subject and word."""
    directory.mkdir(parents=True, exist_ok=True)
    words = words or WORDS_OF.get(database, WORDS)
    speaks_as = database if database in WORDS_OF else "samm"
    emotions = [one for one in LABEL_MAPPINGS[speaks_as] if one.field == EMOTION]
    rng = np.random.default_rng(1)
    columns = {array.name: [] for array in CLIP_ARRAYS}
    videos = []
    for subject in range(first_subject, first_subject + subjects):
        for label, word in enumerate(words):
            first_row = len(columns["phase"])
            for phase in range(phases):
                texture = rng.integers(0, 255, (18, 18)).repeat(8, 0).repeat(8, 1)
                moved = [np.roll(texture, label * i, axis=1) for i in range(frames)]
                columns["frames"].append(np.stack(moved))
                flow = np.zeros((frames - 1, 2, ALIGNED_PX, ALIGNED_PX))
                flow[:, 0] = np.nan if subject == broken_subject else label
                columns["flow"].append(flow)
                columns["landmarks"].append(np.repeat(face_points()[None], frames, 0))
                columns["transforms"].append(np.repeat(np.eye(2, 3)[None], frames, 0))
                columns["source_frames"].append(np.arange(frames))
                columns["face_status"].append(np.zeros(frames))
                columns["video"].append(len(videos))
                columns["phase"].append(phase)
            videos.append(
                VideoRecord(
                    database=database,
                    subject=f"{subject:03d}",
                    clip=f"{subject:03d}_1_{label}",
                    raw_label=word,
                    person=f"{database}/{subject:03d}",
                    labels={
                        mapping.name: mapping.table[word.lower()]
                        for mapping in emotions
                        if word.lower() in mapping.table
                    },
                    key_frames=KeyFrames(),
                    frames_found=frames * phases,
                    shard="shard-00000.h5",
                    first_row=first_row,
                    rows=phases,
                )
            )
    path = directory / "shard-00000.h5"
    with h5py.File(path, "w") as file:
        for array in CLIP_ARRAYS:
            file.create_dataset(array.name, data=np.array(columns[array.name], dtype=array.dtype))
        file.attrs["schema_version"] = SCHEMA_VERSION
    record = ShardRecord(
        file=path.name,
        bytes=path.stat().st_size,
        sha256=hash_file(path),
        content_hash="0" * 64,
        clips=len(columns["phase"]),
        videos=len(videos),
    )
    manifest = Manifest(
        database=database,
        synthetic=synthetic,
        config={},
        config_hash="0" * 64,
        frames_per_clip=frames,
        mappings=tuple(ClassSet(mapping=one.name, classes=one.classes) for one in emotions),
        provenance=Provenance(
            versions={},
            landmark_model_sha256="0" * 64,
            annotation_file=None,
            annotation_sha256=None,
            source_fingerprint="0" * 64,
        ),
        shards=(record,),
        videos=tuple(videos),
    )
    write_manifest(manifest, directory)
    return directory
