"""Detection, landmarks and alignment on photographs and footage of real people.

The pictures lie beside the project, in `../shared/faces`, where they are to be had; they
are not part of it. Templates give the pupils, placed by hand, independent of Dlib.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mol_pipeline.config import DetectionConfig, FlowConfig
from mol_pipeline.contract.shard_layout import FaceStatus
from mol_pipeline.kernels.alignment import align_face
from mol_pipeline.kernels.geometry import apply_transform, eye_centres, invert_transform
from mol_pipeline.kernels.tracking import FaceTracker
from mol_pipeline.reading.frames import read_grey, read_video_frames
from mol_pipeline.stages.video import load_kernels

FACES = Path(__file__).parents[4] / "shared" / "faces"
pytestmark = pytest.mark.skipif(
    not FACES.is_dir(), reason="the shared photographs of faces are not beside this checkout"
)
KERNELS = load_kernels(FlowConfig(), None)


def tracker(**settings):
    return FaceTracker(KERNELS.detector, KERNELS.predictor, DetectionConfig(**settings))


def test_eye_centres_lie_near_the_hand_placed_pupils():
    templates = sorted((FACES / "truth").glob("*.tem"))[::3]
    assert templates
    for template in templates:
        lines = template.read_text().splitlines()
        pupils = np.array([[float(n) for n in line.split()] for line in lines[1:3]])
        grey = read_grey(FACES / "portraits" / f"{template.stem}.jpg")
        found = tracker().find(grey)
        assert found.status is FaceStatus.DETECTED
        landmarks = {0: found.landmarks}
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
    every = tracker(detect_every=1)
    found = [every.find(read_grey(path)) for path in frames]
    assert {face.status for face in found} == {FaceStatus.DETECTED}
    noses = np.stack([face.landmarks[30] for face in found])
    assert np.abs(np.diff(noses, axis=0)).max() < 12


def footage():
    for path in sorted((FACES / "videos").glob("*.mp4")):
        yield [grey for _, grey in read_video_frames(path, range(0, 60, 2))]
    yield [read_grey(path) for path in sorted((FACES / "videos/grid_lbax4n").glob("*.jpg"))[::2]]


def test_a_held_box_gives_the_landmarks_of_detection_on_every_frame():
    """The default policy, within 1 px mean: at the size of the film and at that of SAMM."""
    for frames in footage():
        for scale in (1.0, 2.25):
            greys = [
                cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
                for grey in frames[:: 1 if scale == 1.0 else 3]
            ]
            held, every = tracker(), tracker(detect_every=1)
            fast, slow = [held.find(g) for g in greys], [every.find(g) for g in greys]
            distances = np.linalg.norm(
                np.stack([face.landmarks for face in fast])
                - np.stack([face.landmarks for face in slow]),
                axis=-1,
            )
            assert distances.mean() < 1.0
            assert fast[0].status is FaceStatus.DETECTED
            tracked = [face.status for face in fast].count(FaceStatus.TRACKED)
            assert tracked > len(fast) / 2
