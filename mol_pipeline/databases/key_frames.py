"""Onset, apex and offset of a row: cells read, known errors put right, the order proved."""

from dataclasses import dataclass, replace

from mol_pipeline.contract.absence import is_absent
from mol_pipeline.contract.manifest import Correction, KeyFrames, KeyFrameSource
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.corrections import Corrections
from mol_pipeline.databases.noticed import Kind, Notice
from mol_pipeline.databases.tables import is_below_zero, nearest_number

NOT_ANNOTATED = -1
"""How some tables write that there is no such frame: none has a number below 0."""
LONGEST_CLIP = 1_000_000
"""Frames; a longer interval is a slip of the pen (at 200 fps it would last 83 minutes)."""


@dataclass(frozen=True)
class KeyFrameReading:
    """The key frames of a row, and what was noticed on the way."""

    key_frames: KeyFrames
    corrections: tuple[Correction, ...] = ()
    """That were applied."""
    notices: tuple[Notice, ...] = ()
    """On its cells."""


@dataclass(frozen=True)
class FrameNumber:
    """A cell as a frame number."""

    value: int | None
    """None where it is not annotated."""
    notices: tuple[Notice, ...] = ()
    """That a fraction was rounded."""


@dataclass(frozen=True)
class _Cell:
    value: int | None
    source: KeyFrameSource
    notices: tuple[Notice, ...] = ()
    corrections: tuple[Correction, ...] = ()


def frame_number(name: str, text: str, *, fractions: bool) -> FrameNumber:
    """A cell as a frame number.

    Args:
        name: Of the column, for the words.
        text: The cell.
        fractions: Whether the owners wrote times converted to frames: a fraction is rounded, half
            up; elsewhere it is an error.

    Raises:
        ValueError: If it is none.
    """
    value, exact = nearest_number(text)
    if exact:
        return FrameNumber(value)
    if not fractions:
        raise ValueError(f"{text.strip()!r} is no whole number")
    words = f"{name} {text.strip()} rounded to {value}"
    return FrameNumber(value, (Notice("rounded", words),))


def read_key_frames(
    clip: AnnotatedClip, corrections: Corrections, *, fractions: bool
) -> KeyFrameReading:
    """Key frames of a row, put right where a known error is present.

    Args:
        clip: As it is annotated.
        corrections: Of its database.
        fractions: See `frame_number`.

    Raises:
        ValueError: If a cell is no number or the order is impossible.
    """
    if clip.whole_clip:
        return KeyFrameReading(KeyFrames())
    reader = _CellReader(clip, corrections, fractions)
    onset = reader.cell("onset", clip.onset)
    apex = reader.cell("apex", clip.apex, at_least=onset.value)
    least = max(onset.value or 0, apex.value or 0)
    offset = reader.cell("offset", clip.offset, at_least=least)
    if offset.source == "annotated":
        offset = _Cell(offset.value, clip.offset_source, offset.notices)
    if clip.zero == "open":
        onset, offset = _opened(onset), _opened(offset)
    _check_order(onset.value, offset.value, is_open=clip.zero == "open")
    apex = _apex_inside(clip, corrections, onset.value, apex, offset.value)
    cells = (onset, apex, offset)
    key_frames = KeyFrames(
        onset=onset.value,
        apex=apex.value,
        offset=offset.value,
        onset_source=onset.source,
        apex_source=apex.source,
        offset_source=offset.source,
    )
    return KeyFrameReading(
        key_frames,
        tuple(known for cell in cells for known in cell.corrections),
        tuple(notice for cell in cells for notice in cell.notices),
    )


@dataclass(frozen=True)
class _CellReader:
    clip: AnnotatedClip
    corrections: Corrections
    fractions: bool

    def cell(self, name: str, text: str, at_least: int | None = None) -> _Cell:
        """A cell, put right if it is known to be wrong."""
        if name == "apex" and is_below_zero(text, fractions_only=True):
            return _absent("outside", f"apex {text.strip()} is negative: left absent")
        if self.clip.zero == "open" and name != "apex" and is_below_zero(text):
            return _absent("open", f"{name} {text.strip()} is taken as not annotated")
        try:
            number = frame_number(name, text, fractions=self.fractions)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
        value = number.value
        if value == NOT_ANNOTATED and name == "apex":
            return _absent("unannotated", f"apex {NOT_ANNOTATED} means that none is annotated")
        if value is not None and value < 0 and name != "apex":
            raise ValueError(f"{name} {value} is negative")
        written = text.strip() if value is None else str(value)
        known = self.corrections.number(
            self.clip.subject, self.clip.clip, name, written, at_least=at_least
        )
        if known is None:
            return _Cell(value, "absent" if value is None else "annotated", number.notices)
        if not known.right:
            return _Cell(None, "absent", number.notices, (known,))
        source: KeyFrameSource = "estimated" if is_absent(known.wrong) else "corrected"
        return _Cell(int(known.right), source, number.notices, (known,))


def _absent(kind: Kind, words: str) -> _Cell:
    return _Cell(None, "absent", (Notice(kind, words),))


def _opened(cell: _Cell) -> _Cell:
    """A cell whose 0 means: beyond the recording."""
    return cell if cell.value else _Cell(None, "absent", cell.notices, cell.corrections)


def _check_order(onset: int | None, offset: int | None, *, is_open: bool) -> None:
    if not is_open and (onset is None or offset is None):
        raise ValueError(f"{'onset' if onset is None else 'offset'} is not annotated")
    if onset is not None and offset is not None and onset > offset:
        raise ValueError(f"onset {onset} does not come before offset {offset}")
    if (offset or 0) - (onset or 0) > LONGEST_CLIP:
        raise ValueError(f"onset {onset} .. offset {offset} is longer than {LONGEST_CLIP} frames")


def _apex_inside(
    clip: AnnotatedClip,
    corrections: Corrections,
    onset: int | None,
    apex: _Cell,
    offset: int | None,
) -> _Cell:
    """The apex if it lies in the interval; else what is known to be right, or none."""
    if apex.value == 0 and onset != 0:  # 0 is how some tables leave it open
        return _Cell(None, "absent", apex.notices, apex.corrections)
    low, high = onset or 0, offset if offset is not None else apex.value
    if apex.value is None or high is None or low <= apex.value <= high:
        return apex
    known = corrections.number(clip.subject, clip.clip, "apex", str(apex.value), outside=True)
    if known is None:
        where = f"onset {onset} .. offset {offset}"
        return replace(
            _absent("outside", f"apex {apex.value} lies outside {where}: left absent"),
            corrections=apex.corrections,
        )
    applied = (*apex.corrections, known)
    if not known.right:
        return _Cell(None, "absent", apex.notices, applied)
    return _Cell(int(known.right), "corrected", apex.notices, applied)
