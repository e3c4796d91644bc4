"""A small prepared database straight from the contract: textures that move in a known way."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from mol_pipeline.contract.files import hash_document
from mol_pipeline.contract.labels import EMOTION, LABEL_MAPPINGS, labels_under_every_mapping
from mol_pipeline.contract.manifest import (
    ClassSet,
    KeyFrames,
    Manifest,
    Provenance,
    StoredKeyFrames,
    VideoRecord,
)
from mol_pipeline.contract.manifest_file import write_manifest
from mol_pipeline.contract.shard_layout import ALIGNED_PX
from mol_pipeline.contract.unit_notation import ACTION_UNITS, read_action_units
from mol_pipeline.contract.video_table import table_numbers, table_texts
from mol_pipeline.shards.files import PreparedVideo, write_shard

WORDS = ("Anger", "Happiness", "Contempt", "Surprise", "Other")
WORDS_OF = {
    "casme2": ("happiness", "disgust", "repression", "surprise", "others"),
    "smic-hs": ("negative", "positive", "surprise"),
    "dfme": ("happiness", "anger", "contempt", "disgust", "fear", "sadness", "surprise"),
    "mmew": ("happiness", "surprise", "disgust", "fear", "sadness", "anger", "others"),
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
    names: tuple[str, ...] | None = None,
    compression: str = "none",
    sampling: dict[str, str] | None = None,
    action_units: Mapping[str, str] = MappingProxyType({}),
    parts: tuple[str, ...] = (),
    apex_rule: str | None = "annotated",
) -> Path:
    """Write one shard and its manifest: a video per subject and word.

    `names` are those of the subjects, if they are not to be numbers from `first_subject` on;
    `action_units` is the owners' text by word; `parts` are those of the owners' split that the
    subjects are in, in turn; `apex_rule` None writes no records of key frames.
    """
    names = names or tuple(f"{first_subject + k:03d}" for k in range(subjects))
    directory.mkdir(parents=True, exist_ok=True)
    words = words or WORDS_OF.get(database, WORDS)
    emotions = [one for one in LABEL_MAPPINGS[database] if one.field == EMOTION]
    config = {"sampling": {"frames": frames, **(sampling or {})}}
    annotated: dict[str, str] = dict.fromkeys(
        ("onset_source", "apex_source", "offset_source"), "annotated"
    )
    key_frames = KeyFrames(onset=0, apex=1, offset=frames * phases, **annotated)
    rules = {"onset_rule": "first", "apex_rule": apex_rule, "offset_rule": "last"}
    stored = StoredKeyFrames(onset=0, apex=1, offset=frames - 1, **rules) if apex_rule else None
    rng = np.random.default_rng(1)
    prepared, videos = [], []
    for subject, named in enumerate(names, start=first_subject):
        for label, word in enumerate(words):
            video = VideoRecord(
                database=database,
                subject=named,
                clip=f"{named}_1_{label}",
                raw_label=word,
                person=f"{database}/{named}",
                labels={},
                key_frames=key_frames,
                frames_found=frames * phases,
                face_frames={"detected": frames * phases},
                shard="shard-00000.h5",
                first_row=len(videos) * phases,
                rows=phases,
                stored_key_frames=stored,
            )
            if text := action_units.get(word):
                read = {"annotations": {ACTION_UNITS: text}, ACTION_UNITS: read_action_units(text)}
                video = video.model_copy(update=read)
            if parts:
                part = parts[(subject - first_subject) % len(parts)]
                video = video.model_copy(
                    update={"annotations": {**video.annotations, "partition": part}}
                )
            labels = labels_under_every_mapping(emotions, video)
            videos.append(video.model_copy(update={"labels": labels}))
            motion = np.nan if subject == broken_subject else label
            prepared.append(
                PreparedVideo(
                    arrays=with_key_frames(
                        _moving_textures(rng, label, motion, frames, phases), stored is not None
                    ),
                    identity=table_texts(video, stored),
                    key_frames=table_numbers(video),
                )
            )
    record = write_shard(
        directory / "shard-00000.h5",
        prepared,
        compression=compression,
        config_hash=hash_document(config),
    )
    manifest = Manifest(
        database=database,
        synthetic=synthetic,
        config=config,
        config_hash=hash_document(config),
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


def with_key_frames(arrays: dict[str, np.ndarray], wanted: bool) -> dict[str, np.ndarray]:
    """The arrays, with a record of frames 0, 1 and the last of the first clip if that is wanted."""
    if not wanted:
        return arrays
    places = [0, 1, arrays["frames"].shape[1] - 1]
    flow = arrays["flow"][0]
    keys = {
        "key_flow": np.stack([flow[0], flow[1:].sum(axis=0)]),
        **{
            f"key_{name}": arrays[name][0][places]
            for name in ("frames", "landmarks", "transforms", "source_frames", "face_status")
        },
    }
    return {**arrays, **{name: row[None] for name, row in keys.items()}}


def _moving_textures(
    rng: np.random.Generator, step: int, motion: float, frames: int, phases: int
) -> dict[str, np.ndarray]:
    """Arrays of a video whose texture moves by `step` px a frame, `motion` as its flow says."""
    clips = []
    for _ in range(phases):
        texture = rng.integers(0, 255, (18, 18)).repeat(8, 0).repeat(8, 1)
        clips.append(np.stack([np.roll(texture, step * i, axis=1) for i in range(frames)]))
    flow = np.zeros((phases, frames - 1, 2, ALIGNED_PX, ALIGNED_PX))
    flow[:, :, 0] = motion
    return {
        "frames": np.stack(clips),
        "flow": flow,
        "landmarks": np.tile(face_points(), (phases, frames, 1, 1)),
        "transforms": np.tile(np.eye(2, 3), (phases, frames, 1, 1)),
        "source_frames": np.tile(np.arange(frames), (phases, 1)),
        "face_status": np.zeros((phases, frames)),
        "phase": np.arange(phases),
    }
