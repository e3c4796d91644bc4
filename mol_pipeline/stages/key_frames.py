"""The record of key frames of a video: onset, apex and offset, and which rule chose each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mol_pipeline.config import ApexRule
from mol_pipeline.contract.manifest import KeyFrameRule, StoredKeyFrames
from mol_pipeline.contract.shard_layout import no_key_frames
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.shards.clip_rows import Rows
from mol_pipeline.stages.alignment import AlignedVideo, Kernels


@dataclass(frozen=True)
class KeyChoice:
    """Places of onset, apex and offset among the frames of a video, and whence each."""

    onset: int
    apex: int | None
    """None until the flow has been looked at."""
    offset: int
    onset_rule: KeyFrameRule
    apex_rule: KeyFrameRule
    offset_rule: KeyFrameRule

    @property
    def positions(self) -> list[int]:
        """Those that are known before any frame was seen."""
        return [place for place in (self.onset, self.apex, self.offset) if place is not None]

    def later(self, by: int) -> "KeyChoice":
        """The same frames, counted from another beginning."""
        apex = None if self.apex is None else self.apex + by
        return replace(self, onset=self.onset + by, apex=apex, offset=self.offset + by)


@dataclass(frozen=True)
class KeyRecord:
    """What is stored of a video's key frames."""

    arrays: Mapping[str, Rows]
    stored: StoredKeyFrames | None
    remarks: tuple[str, ...] = ()


def choose_key_frames(video: SourceVideo, rule: ApexRule) -> tuple[KeyChoice | None, str]:
    """Which frames make the record of a video; None and what is odd, if anything, if none do.

    Args:
        video: The source.
        rule: `KeyFrameConfig.apex`.
    """
    if rule == "none":
        return None, ""
    numbers = [number for number, _ in video.frames]
    keys, last = video.key_frames, len(numbers) - 1
    onset, onset_rule = _place(numbers, keys.onset, 0, "first")
    offset, offset_rule = _place(numbers, keys.offset, last, "last")
    if offset <= onset:
        onset, onset_rule, offset, offset_rule = 0, "first", last, "last"
    if keys.apex in numbers and onset < numbers.index(keys.apex) <= last:
        apex = numbers.index(keys.apex)
        if apex > offset:  # the offset is the slip: what follows the apex is still seen
            offset, offset_rule = last, "last"
        return KeyChoice(onset, apex, offset, onset_rule, "annotated", offset_rule), ""
    if rule == "annotated":
        why = _why_no_apex(keys.apex, keys.onset, numbers)
        return None, f"no record of key frames: {why}" if why else ""
    if offset - onset < 1:
        return None, "no record of key frames: one frame"
    middle = (onset + offset + 1) // 2 if rule == "middle" else None
    return KeyChoice(onset, middle, offset, onset_rule, rule, offset_rule), ""


def _place(
    numbers: Sequence[int], number: int | None, otherwise: int, rule: KeyFrameRule
) -> tuple[int, KeyFrameRule]:
    if number is not None and number in numbers:
        return numbers.index(number), "annotated"
    return otherwise, rule


def _why_no_apex(apex: int | None, onset: int | None, numbers: Sequence[int]) -> str:
    """What is odd about an apex; nothing where the table has none."""
    if apex is None:
        return ""  # as in whole databases: the record of the video shows it
    if apex == onset:
        return f"apex and onset are both frame {apex}"
    if apex not in numbers:
        return f"frame {apex}, the apex, is not on disk"
    return f"frame {apex}, the apex, lies before the onset"


def key_record(
    choice: KeyChoice | None,
    why_none: str,
    video: SourceVideo,
    aligned: AlignedVideo,
    kernels: Kernels,
) -> KeyRecord:
    """The record, from the aligned faces of a video.

    Args:
        choice: By `choose_key_frames`; its places are among the aligned ones.
        why_none: Its reason, where it is None.
        video: The source.
        aligned: Its faces.
        kernels: For the flow.
    """
    if choice is None:
        return KeyRecord(no_key_frames(), None, (why_none,) if why_none else ())
    faces = aligned.faces
    apex = _largest_flow(choice, aligned, kernels) if choice.apex is None else choice.apex
    places = (choice.onset, apex, choice.offset)
    images = [faces[place].image for place in places]
    rows: dict[str, NDArray] = {
        "key_frames": np.stack(images),
        "key_flow": aligned.clip_flow(kernels, places),
        "key_landmarks": np.stack([faces.landmarks(place) for place in places]),
        "key_transforms": np.stack([faces.transform(place) for place in places]),
        "key_source_frames": np.array([video.frames[place][0] for place in places]),
        "key_face_status": np.array([aligned.statuses[place] for place in places]),
    }
    onset, apex, offset = (video.frames[place][0] for place in places)
    stored = StoredKeyFrames(
        onset=onset,
        apex=apex,
        offset=offset,
        onset_rule=choice.onset_rule,
        apex_rule=choice.apex_rule,
        offset_rule=choice.offset_rule,
    )
    remarks: tuple[str, ...] = ()
    if choice.apex_rule != "annotated":
        remarks = (f"the apex of its record of key frames is frame {apex} ({choice.apex_rule})",)
    return KeyRecord({name: row[None] for name, row in rows.items()}, stored, remarks)


def _largest_flow(choice: KeyChoice, aligned: AlignedVideo, kernels: Kernels) -> int:
    """Place after the onset, up to the offset, to which the sum of the flow's lengths is largest.

    Source:
        The rule of MEAN, over the frames that the build has aligned.
    """
    places = [place for place in sorted(aligned.faces) if choice.onset < place <= choice.offset]
    sums = [
        float(np.hypot(*aligned.flow(kernels, choice.onset, place)).sum(dtype=np.float64))
        for place in places
    ]
    return places[int(np.argmax(sums))]
