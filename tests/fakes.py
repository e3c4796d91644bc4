"""Fake releases of SAMM with real faces in them, for builds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.databases.releases import Clip, samm


@dataclass(frozen=True)
class FakeClip:
    """One invented clip."""

    clip: str
    onset: int
    apex: int
    offset: int
    emotion: str = "Anger"
    frames: Iterable[int] | None = None
    """Numbers on disk; those of the annotated interval if None."""
    damaged: frozenset[int] = frozenset()
    """Frames that are no images."""
    shift_px: int = 0
    """How far the picture moves to the right from frame to frame."""

    @property
    def subject(self) -> str:
        """Subject by the clip's name."""
        return self.clip.split("_")[0]

    @property
    def event(self) -> Clip:
        """The same for `releases.samm`."""
        on_disk = None if self.frames is None else list(self.frames)
        return Clip(
            int(self.subject),
            self.clip,
            self.emotion,
            self.onset,
            self.apex,
            self.offset,
            on_disk=on_disk,
        )


def face_photograph() -> NDArray[np.uint8]:
    """A grey photograph `[512, 512]` with one face."""
    from skimage import data

    return cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


def write_samm_tree(root: Path, clips: Sequence[FakeClip], *, real_faces: bool = False) -> Path:
    """A whole fake release; frame files are empty unless `real_faces`."""
    release = samm([clip.event for clip in clips])
    release.write(root)
    if not real_faces:
        return root
    photograph = face_photograph()
    for clip, (folder, names) in zip(clips, release.frames.items(), strict=True):
        for position, name in enumerate(names):
            path = root / folder / name
            if int(path.stem.split("_")[-1]) in clip.damaged:
                path.write_bytes(b"this is not an image")
                continue
            moved = np.roll(photograph, position * clip.shift_px, axis=1)
            # Only the part around the face: less to decode.
            cv2.imwrite(str(path), moved[20:260, 100:340], [cv2.IMWRITE_JPEG_QUALITY, 95])
    return root
