"""What a row of an owners' table says of a clip, with our names for things."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mol_pipeline.contract.manifest import KeyFrameSource
from mol_pipeline.databases.tables import Columns, Row


@dataclass(frozen=True)
class TableFormat:
    """How a database's annotation table is found and read."""

    patterns: tuple[str, ...]
    """Of its file name, case aside."""
    columns: Columns
    """That must be there: filename, onset, apex, offset, emotion, and usually subject."""
    optional: Columns
    """That may be there, and are kept with each clip."""


@dataclass(frozen=True)
class AnnotatedClip:
    """What a row says, as text, with our names for things."""

    subject: str
    clip: str
    raw_label: str
    where: str
    """Where it is written, for messages."""
    onset: str = ""
    apex: str = ""
    offset: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    person: str = ""
    """Who it shows; `database/subject` if empty."""
    zero: Literal["number", "open"] = "number"
    """What an onset or offset of 0 means: a frame, or beyond the recording."""
    offset_source: KeyFrameSource = "annotated"
    """Of an offset that the adapter filled in."""
    whole_clip: bool = False
    """No interval is annotated: every frame of the folder belongs to the clip."""

    @property
    def key(self) -> tuple[str, str]:
        """Subject and name, case aside."""
        return self.subject.lower(), self.clip.lower()


def annotated_clip(row: Row, form: TableFormat, *, subject: str, clip: str = "") -> AnnotatedClip:
    """What a row with the usual columns says.

    Args:
        row: Of the table.
        form: Its format.
        subject: As the database's adapter writes it.
        clip: Name, if it is not the one in the table.
    """
    return AnnotatedClip(
        subject=subject,
        clip=clip or row.text("filename"),
        raw_label=row.text("emotion"),
        where=row.where,
        onset=row.text("onset"),
        apex=row.text("apex"),
        offset=row.text("offset"),
        annotations={name: row.text(name) for name in form.optional},
    )
