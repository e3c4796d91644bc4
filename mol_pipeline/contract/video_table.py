"""The table of videos inside a shard: what it holds of a video.

It holds what labels and folds are made from. A manifest that was changed by hand, with or without
a new hash, is found by comparing it with this table; see `mol_pipeline.contract.agreement`.
"""

from collections.abc import Mapping
from typing import Protocol

from mol_pipeline.contract.action_units import CD6ME_UNITS, ActionUnits, values_of
from mol_pipeline.contract.files import canonical_json
from mol_pipeline.contract.manifest import KeyFrames, StoredKeyFrames


class Tabled(Protocol):
    """A video of the source or of a manifest."""

    @property
    def database(self) -> str:
        """Name of the database."""
        ...

    @property
    def subject(self) -> str:
        """The owners' name of the person."""
        ...

    @property
    def person(self) -> str:
        """The same over all databases that filmed the same people."""
        ...

    @property
    def clip(self) -> str:
        """Identity inside the subject."""
        ...

    @property
    def raw_label(self) -> str:
        """The owners' word."""
        ...

    @property
    def annotations(self) -> Mapping[str, str]:
        """Further cells of the owners' table."""
        ...

    @property
    def action_units(self) -> ActionUnits | None:
        """The reading of one of them; None if there is none."""
        ...

    @property
    def key_frames(self) -> KeyFrames:
        """Onset, apex and offset."""
        ...


def table_texts(video: Tabled, stored: StoredKeyFrames | None = None) -> dict[str, str]:
    """The text columns of a video, by name; `stored` is its record of key frames, if any."""
    units = video.action_units
    return {
        "database": video.database,
        "subject": video.subject,
        "clip": video.clip,
        "raw_label": video.raw_label,
        "person": video.person,
        "annotations": canonical_json(dict(video.annotations)).decode(),
        "onset_source": video.key_frames.onset_source,
        "apex_source": video.key_frames.apex_source,
        "offset_source": video.key_frames.offset_source,
        "action_units": canonical_json(units.model_dump(mode="json")).decode() if units else "",
        "stored_key_frames": (
            canonical_json(stored.model_dump(mode="json")).decode() if stored else ""
        ),
    }


def table_numbers(video: Tabled) -> dict[str, int]:
    """The number columns of a video, by name; -1 for none, and for a unit that is unknown."""
    key_frames = video.key_frames
    numbers = {
        "onset": key_frames.onset,
        "apex": key_frames.apex,
        "offset": key_frames.offset,
    }
    units = zip(CD6ME_UNITS, values_of(video.action_units), strict=True)
    return {
        **{name: -1 if number is None else number for name, number in numbers.items()},
        **{f"au{unit}": value for unit, value in units},
    }
