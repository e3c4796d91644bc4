"""Small fake releases in the layout of SAMM, with every oddity a test asks for.

Rows are invented. Faces, where a test needs them, are scikit-image's astronaut
(public domain) moved about by whole pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import xlsxwriter
from numpy.typing import NDArray

from mol_pipeline.databases.demo.samm_table import HEADER as SAMM_HEADER


@dataclass
class FakeClip:
    """One row and its folder."""

    clip: str
    onset: Any
    apex: Any
    offset: Any
    emotion: str = "Anger"
    frames: Sequence[int] | None = None
    """Numbers on disk; onset..offset if None."""
    shift_px: int = 1
    """Motion to the right from one frame to the next, in a real-face tree."""
    damaged: frozenset[int] = field(default_factory=frozenset)
    """Frame numbers whose file is no image."""

    @property
    def subject(self) -> str:
        """Subject by the clip's name."""
        return self.clip.split("_")[0]

    @property
    def row(self) -> dict[str, Any]:
        """Cells by column name."""
        return {
            "Subject": self.subject,
            "Filename": self.clip,
            "Inducement Code": 1,
            "Onset Frame": self.onset,
            "Apex Frame": self.apex,
            "Offset Frame": self.offset,
            "Duration": 0,
            "Micro": "Micro - 1/2",
            "Action Units": "4+L7 ",
            "Estimated Emotion": self.emotion,
            "Objective Classes": 2,
            "Notes": "",
        }


def write_samm_table(
    path: Path,
    rows: Iterable[dict[str, Any]],
    *,
    header: Sequence[str] = SAMM_HEADER,
    notes: int = 12,
    shout: bool = False,
) -> None:
    """A spreadsheet like SAMM's: notes, a blank row, the header, the rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("MICRO_ONLY")
        for i in range(notes):
            sheet.write_string(i, 0, f"note {i + 1}: invented rows for tests")
        first = notes + 1 if notes else 0
        for column, name in enumerate(header):
            sheet.write(first, column, f" {name.upper()} " if shout else name)
        for i, row in enumerate(rows):
            for column, name in enumerate(header):
                sheet.write(first + 1 + i, column, row.get(name, ""))


def face_photograph() -> NDArray[np.uint8]:
    """A grey photograph `[512, 512]` with one face."""
    from skimage import data

    return cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


def write_samm_tree(
    root: Path,
    clips: Sequence[FakeClip],
    *,
    real_faces: bool = False,
    folder: str = "SAMM",
    table: str = "SAMM_Micro_FACS_Codes_v2.xlsx",
) -> Path:
    """A whole fake release; frame files are empty unless `real_faces`."""
    photograph = face_photograph() if real_faces else None
    for clip in clips:
        place = root / folder / clip.subject / clip.clip
        place.mkdir(parents=True, exist_ok=True)
        numbers = clip.frames if clip.frames is not None else range(clip.onset, clip.offset + 1)
        for position, number in enumerate(numbers):
            path = place / f"{clip.subject}_{number:05d}.jpg"
            if photograph is None:
                path.touch()
            elif number in clip.damaged:
                path.write_bytes(b"this is not an image")
            else:
                moved = np.roll(photograph, position * clip.shift_px, axis=1)
                # Only the part around the face: less to decode.
                cv2.imwrite(str(path), moved[20:260, 100:340], [cv2.IMWRITE_JPEG_QUALITY, 95])
    write_samm_table(root / table, [clip.row for clip in clips])
    return root
