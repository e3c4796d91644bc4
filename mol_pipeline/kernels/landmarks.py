"""68 facial landmarks by Dlib's regression-tree predictor."""

import functools
from pathlib import Path

import dlib
import numpy as np
from jaxtyping import Float64, UInt8

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.files import hash_file
from mol_pipeline.contract.shard_layout import LANDMARK_POINTS
from mol_pipeline.kernels.detection import FaceBox
from mol_pipeline.kernels.packaged_models import INSTALL, packaged_model

MODEL_FILE = "shape_predictor_68_face_landmarks.dat"
MODEL_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
"""Of the file that `face_recognition_models` 0.3.0 and Debian's libdlib-data carry."""


def find_landmark_model(override: Path | None = None) -> Path:
    """Path of the 68-point model.

    Raises:
        SourceError: If there is no such file.
    """
    if override is not None:
        if not override.is_file():
            raise SourceError(f"{override}: no landmark model file there; check --landmark-model")
        return override
    path = packaged_model(MODEL_FILE)
    if path is None:
        raise SourceError(
            f"{MODEL_FILE} not found: run '{INSTALL}' or name the file with --landmark-model"
        )
    return path


@functools.lru_cache(maxsize=4)
def landmark_model_sha256(path: Path) -> str:
    """SHA-256 of a model file, computed once a process (the file has 100 MB)."""
    return hash_file(path)


class LandmarkPredictor:
    """Dlib's 68-point predictor (Kazemi and Sullivan 2014, trained on iBUG 300-W).

    Several threads share one, and so its 100 MB: a prediction changes nothing in it.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Load the model.

        Raises:
            SourceError: If the file is absent or is no landmark model.
        """
        self.path = find_landmark_model(path)
        try:
            self._predictor = dlib.shape_predictor(str(self.path))
        except RuntimeError as error:
            raise SourceError(f"{self.path}: is no Dlib landmark model ({error})") from error

    def predict(
        self, grey: UInt8[np.ndarray, "height width"], box: FaceBox
    ) -> Float64[np.ndarray, "68 2"]:
        """Landmarks `[68, 2]` as `(x, y)` in pixels of the image.

        Dlib gives whole pixels.
        """
        rectangle = dlib.rectangle(box.left, box.top, box.right, box.bottom)
        shape = self._predictor(grey, rectangle)
        if shape.num_parts != LANDMARK_POINTS:
            raise SourceError(
                f"{self.path}: gives {shape.num_parts} points, this needs {LANDMARK_POINTS}"
            )
        return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
