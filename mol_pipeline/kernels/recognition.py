"""Whether two faces are of one person, by Dlib's network."""

import threading
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
from jaxtyping import Float64, UInt8

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.files import hash_file
from mol_pipeline.kernels.packaged_models import INSTALL, packaged_model

NETWORK_FILE = "dlib_face_recognition_resnet_model_v1.dat"
NETWORK_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
"""Every process of a build must hear the same answer."""

SIDE_PX = 150
"""Of the picture that the network takes."""
FARTHEST = 0.5
"""Distance of two descriptions of one person. Dlib's own limit is 0.6; of aligned faces, people
were 0.61 and more apart, pictures of one at most 0.32 (decision record 0017)."""


def find_network() -> Path:
    """Path of the network.

    Raises:
        SourceError: If there is no such file.
    """
    path = packaged_model(NETWORK_FILE)
    if path is None:
        raise SourceError(
            f"{NETWORK_FILE} not found: run '{INSTALL}', or set detection.person=place"
        )
    return path


class FaceRecogniser:
    """Dlib's residual network (King 2017), read when it is first asked.

    It is asked rarely, so threads take turns and share its memory.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._network: Any = None

    def describe(self, aligned: UInt8[np.ndarray, "144 144"]) -> Float64[np.ndarray, " 128"]:
        """Description `[128]` of an aligned face `[144, 144]`.

        Raises:
            SourceError: If the network is absent or not the known one.
        """
        picture = cv2.resize(aligned, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
        with self._turn:
            if self._network is None:
                self._network = _load(find_network())
            found = self._network.compute_face_descriptor(cv2.merge([picture] * 3))
        return np.array(found, dtype=np.float64)


def _load(path: Path) -> Any:
    if hash_file(path) != NETWORK_SHA256:
        raise SourceError(f"{path}: is not the network that is known; run '{INSTALL}'")
    return dlib.face_recognition_model_v1(str(path))


def is_same_person(one: Float64[np.ndarray, " 128"], other: Float64[np.ndarray, " 128"]) -> bool:
    """Whether two descriptions are of one person."""
    return bool(np.linalg.norm(one - other) <= FARTHEST)
