"""Photographs of faces that installable packages carry, with their licences."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.kernels.detection import FaceDetector, main_face
from mol_pipeline.kernels.geometry import eye_centres
from mol_pipeline.kernels.landmarks import LandmarkPredictor
from mol_pipeline.reading.frames import read_grey

OWN_LICENCE = "a photograph of the user's; its rights and the people's consent are theirs to know"
LARGEST_EYES_PX = 120.0
"""Between the eyes of a photograph as it is kept: it is drawn a little smaller."""


@dataclass(frozen=True)
class Portrait:
    """One photograph and where its face is."""

    name: str
    licence: str
    grey: NDArray[np.uint8]
    """`[height, width]`."""
    landmarks: NDArray[np.float64]
    """`[68, 2]`."""


def _astronaut() -> NDArray[np.uint8]:
    from skimage import data

    return data.astronaut()


def _grace_hopper() -> NDArray[np.uint8]:
    from matplotlib import cbook

    path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    content = np.fromfile(path, dtype=np.uint8)
    return cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


SOURCES: dict[str, tuple[str, Callable[[], NDArray[np.uint8]]]] = {
    "astronaut": ("public domain (NASA), as shipped by scikit-image", _astronaut),
    "grace_hopper": ("public domain (US Navy), as shipped by matplotlib", _grace_hopper),
}


@functools.cache
def load_portrait(name: str) -> Portrait:
    """Load a photograph and find its face.

    Raises:
        SourceError: If no face is found, which means a broken installation.
    """
    licence, load = SOURCES[name]
    found = _with_face(name, licence, cv2.cvtColor(load(), cv2.COLOR_RGB2GRAY))
    if found is None:
        raise SourceError(f"demo photograph {name}: Dlib finds no face; reinstall dlib-bin")
    return found


@functools.lru_cache(maxsize=1)  # the clips of a subject follow each other
def load_own_portrait(path: Path) -> Portrait:
    """Load a photograph of the user's, not much larger than it will be drawn.

    Raises:
        SourceError: If it cannot be read, or Dlib finds no face in it.
    """
    try:
        grey = read_grey(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: is no photograph ({error})") from error
    found = _with_face(path.name, OWN_LICENCE, grey)
    if found is None:
        raise SourceError(f"{path}: Dlib finds no face in it; name a photograph of a frontal face")
    left, right = eye_centres(found.landmarks)
    shrink = LARGEST_EYES_PX / float(np.linalg.norm(right - left))
    if shrink >= 1:
        return found
    size = (round(grey.shape[1] * shrink), round(grey.shape[0] * shrink))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    scales = np.array(size) / grey.shape[::-1]
    landmarks = (found.landmarks + 0.5) * scales - 0.5  # centres of pixels
    return Portrait(found.name, found.licence, small, landmarks)


def own_portraits(folder: Path) -> tuple[list[Path], list[str]]:
    """Photographs of a folder with a face, in order of their names; and why each other is refused.

    Raises:
        SourceError: If the folder cannot be read, or Dlib finds a face in none.
    """
    found, refused = [], []
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise SourceError(f"--portraits {folder}: {error.strerror}; name a folder") from error
    for path in paths:
        try:
            load_own_portrait(path)
        except SourceError as error:
            refused.append(str(error))
        else:
            found.append(path)
    if not found:
        reasons = "".join(f"\n  {reason}" for reason in refused)
        raise SourceError(f"--portraits {folder}: no photograph with a face there{reasons}")
    return found, refused


def _with_face(name: str, licence: str, grey: NDArray[np.uint8]) -> Portrait | None:
    box = main_face(FaceDetector().detect(grey), *grey.shape)
    if box is None:
        return None
    return Portrait(name, licence, grey, LandmarkPredictor().predict(grey, box))
