"""`prediction.json`: what was found in one video, with what it was found and its limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mol_model.inference.estimate import ClipEstimate, WindowEstimate
from mol_model.inference.mapping import points_to_source
from mol_model.inference.video import PreparedWindow, RejectedWindow
from mol_model.protocols.units import UNITS_MAPPING
from mol_model.scoring.units import SHOWN
from mol_model.training.checkpoint import CheckpointRecord
from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.shard_layout import FaceStatus

LIMITS = (
    "A recognised expression is no proof of what a person feels.",
    "The network gives one of its classes to whatever it is shown, also where no expression "
    "is: finding out whether and when there is one (spotting) is not part of it.",
)
UNIT_LIMITS = (
    "An action unit is a movement of the face and no proof of what a person feels.",
    "The network says of each of its action units how likely it is shown; of units that it was not "
    "trained on it says nothing. Where in the video a movement is (spotting) is not looked for.",
)
SYNTHETIC = (
    "SYNTHETIC: this checkpoint was trained on photographs moved by a program. Its answers show "
    "that the software works and nothing else."
)
SEARCHED = (FaceStatus.DETECTED.name.lower(), FaceStatus.UPSAMPLED.name.lower())
"""Frames in which the detector looked at the whole picture, and would have seen others."""


@dataclass(frozen=True)
class Identity:
    """What the answers come from: the same for every video of a call."""

    checkpoint: Path
    record: CheckpointRecord
    config: BuildConfig

    def document(self) -> dict[str, Any]:
        """As JSON."""
        record = self.record
        return {
            "checkpoint": {
                "path": str(self.checkpoint),
                "tensors_sha256": record.tensors_sha256,
                "network": record.config.network_words,
                "classes": list(record.classes),
                "label_mapping": record.mapping,
                "fold": record.fold,
                "step": record.step,
                "selection": record.selection,
                "manifest_hash": record.manifest_hash,
                "synthetic": record.synthetic,
            },
            "preparation": {
                "config_hash": self.config.hash,
                **self.config.model_dump(
                    mode="json", include={"detection", "alignment", "sampling"}
                ),
            },
        }

    def limits(self) -> list[str]:
        """Sentences that belong to every answer."""
        limits = UNIT_LIMITS if self.several else LIMITS
        return [*([SYNTHETIC] if self.record.synthetic else []), *limits]

    @property
    def several(self) -> bool:
        """Whether the answer is any number of action units, not one class."""
        return self.record.mapping == UNITS_MAPPING


def window_document(
    window: PreparedWindow,
    estimate: WindowEstimate,
    classes: Sequence[str],
    *,
    several: bool = False,
) -> dict[str, Any]:
    """One window: its class or action units, faces, clips, landmarks in pixels of the source."""
    taken = points_to_source(window.landmarks[0, 0], window.transforms[0, 0], 0.0)
    landmarks = {
        int(number): points.round(2).tolist()
        for clip in estimate.clips
        if clip.landmarks is not None
        for number, points in zip(clip.source_frames[1:], clip.landmarks, strict=True)
    }
    return {
        "first_frame": window.first,
        "last_frame": window.last,
        **answer(estimate.probabilities, classes, several=several),
        "face": {
            "frames": window.face_frames,
            "searched_for_others": sum(window.face_frames.get(name, 0) for name in SEARCHED),
            "others": {number: len(boxes) for number, boxes in sorted(window.others.items())},
            "taken": {
                "frame": int(window.source_frames[0, 0]),
                "left_top_right_bottom": np.concatenate([taken.min(axis=0), taken.max(axis=0)])
                .round(1)
                .tolist(),
            },
        },
        "clips": [_clip(clip, classes, several) for clip in estimate.clips],
        "landmarks": {number: landmarks[number] for number in sorted(landmarks)},
    }


def _clip(clip: ClipEstimate, classes: Sequence[str], several: bool) -> dict[str, Any]:
    return {
        "source_frames": clip.source_frames.tolist(),
        **answer(clip.probabilities, classes, several=several),
        "mean_motion_px": None if clip.motion is None else clip.motion.round(4).tolist(),
    }


def answer(
    probabilities: Sequence[float], classes: Sequence[str], *, several: bool = False
) -> dict[str, Any]:
    """Class and probabilities; null without an expression head.

    Of action units there is no class, but a list of those that are shown.
    """
    if not probabilities:
        return {"class": None, "probabilities": None}
    chances = {name: round(float(p), 6) for name, p in zip(classes, probabilities, strict=True)}
    if several:
        shown = [name for name, p in zip(classes, probabilities, strict=True) if p >= SHOWN]
        return {"class": None, "action_units": shown, "probabilities": chances}
    return {"class": classes[int(np.argmax(probabilities))], "probabilities": chances}


def notes_of(
    documents: Sequence[dict[str, Any]],
    rejected: Sequence[RejectedWindow],
    *,
    remainder: int,
) -> list[str]:
    """What a reader must know about a video, a sentence each.

    Args:
        documents: From `window_document`.
        rejected: Windows without an answer.
        remainder: Frames that no window takes, or that no clip of their window takes.
    """
    notes = []
    others = {n: count for document in documents for n, count in document["face"]["others"].items()}
    searched = sum(document["face"]["searched_for_others"] for document in documents)
    if others:
        box = documents[0]["face"]["taken"]
        left, top, right, bottom = (round(number) for number in box["left_top_right_bottom"])
        notes.append(
            f"Several people: up to {max(others.values())} more in {len(others)} of the "
            f"{searched} frames in which the detector searched the whole picture (frames "
            f"{_some(sorted(others))}). One is followed: the largest and most central, later the "
            f"one who was there before; in frame {box['frame']} at x {left} to {right}, "
            f"y {top} to {bottom}."
        )
    unsure = {
        name: sum(document["face"]["frames"].get(name, 0) for document in documents)
        for name in (FaceStatus.INTERPOLATED.name.lower(), FaceStatus.UNCONFIRMED.name.lower())
    }
    for name, count in unsure.items():
        if count:
            notes.append(f"No face was found in {count} frames; their landmarks are {name}.")
    doubtful = sum(
        document["face"]["frames"].get(FaceStatus.DOUBTFUL.name.lower(), 0)
        for document in documents
    )
    if doubtful:
        notes.append(
            f"In {doubtful} frames it is hardly sure that the face is upright, or one at all: look "
            "at the film."
        )
    notes += [
        f"Frames {window.first} to {window.last} give no answer: {window.message}."
        for window in rejected
    ]
    if remainder:
        notes.append(
            f"{remainder} frames are in no clip: a clip takes equally spaced frames, and the "
            "remainder at the end of a window is left out."
        )
    if len(documents) > 1:
        notes.append(
            f"{len(documents)} windows, each with an answer of its own. Where an expression begins "
            "and ends is not looked for: the windows are cut by their length only."
        )
    return notes


def _some(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return f"{shown}, ..." if len(numbers) > 8 else shown
