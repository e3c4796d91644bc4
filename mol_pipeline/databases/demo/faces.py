"""Photographs of faces that installable packages carry, with their licences."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.kernels.detection import FaceDetector, main_face
from mol_pipeline.kernels.landmarks import LandmarkPredictor


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
    grey = cv2.cvtColor(load(), cv2.COLOR_RGB2GRAY)
    box = main_face(FaceDetector().detect(grey), *grey.shape)
    if box is None:
        raise SourceError(f"demo photograph {name}: Dlib finds no face; reinstall dlib-bin")
    return Portrait(name, licence, grey, LandmarkPredictor().predict(grey, box))
