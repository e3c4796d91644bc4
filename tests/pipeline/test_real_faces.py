"""Detection, landmarks and alignment on photographs and footage of real people.

The pictures lie beside the project, in `../shared/faces`, where they are to be had; they
are not part of it. Templates give the pupils, placed by hand, independent of Dlib.
"""

from pathlib import Path

import numpy as np
import pytest

from mol_pipeline.alignment import align_face
from mol_pipeline.config import DetectionConfig, FlowConfig
from mol_pipeline.contract.shard_layout import FaceStatus
from mol_pipeline.geometry import apply_transform, eye_centres, invert_transform
from mol_pipeline.stages import find_landmarks, load_kernels, read_grey

FACES = Path(__file__).parents[3] / "shared" / "faces"
pytestmark = pytest.mark.skipif(
    not FACES.is_dir(), reason="the shared photographs of faces are not beside this checkout"
)
KERNELS = load_kernels(FlowConfig(), None)


def test_eye_centres_lie_near_the_hand_placed_pupils():
    templates = sorted((FACES / "truth").glob("*.tem"))[::3]
    assert templates
    for template in templates:
        lines = template.read_text().splitlines()
        pupils = np.array([[float(n) for n in line.split()] for line in lines[1:3]])
        grey = read_grey(FACES / "portraits" / f"{template.stem}.jpg")
        landmarks, statuses = find_landmarks({0: grey}, KERNELS, DetectionConfig())
        assert statuses[0] is FaceStatus.DETECTED
        distance = np.linalg.norm(pupils[1] - pupils[0])
        found = np.array(eye_centres(landmarks[0]))
        assert np.abs(found - pupils).max() < 0.06 * distance, template.stem

        aligned = align_face(grey, landmarks[0])
        left, right = eye_centres(aligned.landmarks)
        assert abs(left[1] - right[1]) < 1.0
        back = apply_transform(invert_transform(aligned.transform), aligned.landmarks)
        assert np.abs(back - landmarks[0]).max() < 0.01


def test_every_frame_of_a_clip_of_a_talking_person_has_a_face():
    frames = sorted((FACES / "videos" / "grid_lbax4n").glob("*.jpg"))[::4]
    assert len(frames) > 5
    greys = {i: read_grey(path) for i, path in enumerate(frames)}
    landmarks, statuses = find_landmarks(greys, KERNELS, DetectionConfig())
    assert set(statuses.values()) == {FaceStatus.DETECTED}
    noses = np.stack([landmarks[i][30] for i in greys])
    assert np.abs(np.diff(noses, axis=0)).max() < 12
