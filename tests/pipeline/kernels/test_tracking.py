"""Where the face is from frame to frame: held, doubted, lost, found again."""

import cv2
import numpy as np
import pytest

from mol_pipeline.config import AlignmentConfig, BuildConfig, DetectionConfig, FlowConfig
from mol_pipeline.contract.shard_layout import FaceStatus
from mol_pipeline.kernels.alignment import align_face
from mol_pipeline.kernels.detection import FaceBox, same_face
from mol_pipeline.kernels.tracking import FaceTracker
from mol_pipeline.stages.video import Rejection, align_video, load_kernels
from tests.fakes import face_photograph

KERNELS = load_kernels(FlowConfig(), None)
FACE = cv2.resize(face_photograph()[20:260, 100:340], (360, 360), interpolation=cv2.INTER_CUBIC)
EMPTY = np.full_like(FACE, 128)
DETECTED, TRACKED = FaceStatus.DETECTED, FaceStatus.TRACKED


class Counting:
    """A detector that remembers the sizes it was asked about."""

    def __init__(self):
        self.sizes = []

    def detect(self, grey, upsample=0):
        self.sizes.append((grey.shape, upsample))
        return KERNELS.detector.detect(grey, upsample)


def track(frames, **settings):
    detector = Counting()
    tracker = FaceTracker(detector, KERNELS.predictor, DetectionConfig(**settings))
    return [tracker.find(frame) for frame in frames], detector.sizes


def statuses(frames, **settings):
    return [face and face.status for face in track(frames, **settings)[0]]


def test_the_box_is_held_and_only_confirmed_in_a_small_picture():
    found, sizes = track([FACE] * 4)
    assert [face.status for face in found] == [DETECTED, TRACKED, TRACKED, TRACKED]
    assert sizes[0] == (FACE.shape, 0)
    assert all(max(shape) < 200 for shape, _ in sizes[1:])
    for face in found[1:]:
        np.testing.assert_array_equal(face.landmarks, found[0].landmarks)


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (1, [DETECTED] * 5),
        (2, [DETECTED, TRACKED, DETECTED, TRACKED, DETECTED]),
        (0, [DETECTED, TRACKED, TRACKED, TRACKED, TRACKED]),
    ],
)
def test_how_often_to_detect(every, expected):
    assert statuses([FACE] * 5, detect_every=every) == expected


def test_a_face_that_moves_away_is_detected_anew():
    moved = np.roll(FACE, 30, axis=1)
    found, _ = track([FACE, moved])
    assert found[1].status is DETECTED
    assert np.abs(found[1].landmarks - found[0].landmarks - (30, 0)).mean() < 2


def test_a_face_that_is_gone_is_not_made_up():
    assert statuses([FACE, EMPTY, FACE]) == [DETECTED, None, TRACKED]


def test_a_small_face_is_found_in_an_enlarged_image():
    small = cv2.resize(FACE, (140, 140), interpolation=cv2.INTER_AREA)
    canvas = np.full((200, 200), 128, dtype=np.uint8)
    canvas[30:170, 30:170] = small
    assert statuses([canvas], upsample=0) == [None]
    assert statuses([canvas], upsample=1) == [FaceStatus.UPSAMPLED]


def test_of_two_faces_the_one_that_was_there_is_kept():
    wide = np.full((360, 760), 128, dtype=np.uint8)
    wide[:, 10:370] = FACE
    both = wide.copy()
    both[:, 390:750] = FACE[:, ::-1]
    found, _ = track([wide, both, both], detect_every=1)
    assert [face.faces for face in found] == [1, 2, 2]
    assert np.abs(found[1].landmarks - found[0].landmarks).mean() < 3


def test_a_reduced_search_finds_the_same_face():
    large = np.kron(FACE, np.ones((3, 3), dtype=np.uint8))
    (fast,), sizes = track([large], search_px=320)
    (slow,), _ = track([large])
    assert max(max(shape) for shape, _ in sizes) < max(large.shape)
    assert np.abs(fast.landmarks - slow.landmarks).mean() < 0.02 * large.shape[0]


def align(frames, config):
    return align_video(
        enumerate(frames), KERNELS, config, again=lambda which: [(n, frames[n]) for n in which]
    )


def aligned(frames, **settings):
    config = BuildConfig(detection=DetectionConfig(**settings))
    return align(frames, config)


def test_policies_for_a_frame_without_a_face():
    frames = [FACE, EMPTY, FACE]
    for policy in ("reject", "fail"):
        with pytest.raises(Rejection, match=r"no face in 1 of 3 frames \(first: 1\)"):
            aligned(frames, no_face=policy)
    for policy, status in (
        ("interpolate", FaceStatus.INTERPOLATED),
        ("track", FaceStatus.UNCONFIRMED),
    ):
        video = aligned(frames, no_face=policy)
        assert sorted(video.faces) == [0, 1, 2]
        assert video.statuses[1] is status
    with pytest.raises(Rejection, match="no face in 2 of 2"):
        aligned([EMPTY, EMPTY], no_face="interpolate")


def test_tracking_has_nowhere_to_go_before_the_first_face():
    video = aligned([EMPTY, FACE], no_face="track")
    assert video.statuses[0] is FaceStatus.INTERPOLATED  # where the face is found first


def test_alignment_by_the_video_uses_one_transform():
    config = BuildConfig(alignment=AlignmentConfig(reference="video"))
    frames = [FACE, np.roll(FACE, 3, axis=1)]
    video = align(frames, config)
    np.testing.assert_array_equal(video.faces[0].transform, video.faces[1].transform)
    np.testing.assert_array_equal(
        video.faces[0].image, align_face(FACE, track([FACE])[0][0].landmarks).image
    )


def test_boxes_of_the_same_face_overlap():
    box = FaceBox(10, 10, 109, 109, 1.0)
    assert same_face(box, box.moved(20, 20))
    assert not same_face(box, box.moved(60, 60))
    assert not same_face(box, box.moved(200, 0))
    assert box.with_margin(0.5, 120, 140) == (0, 0, 140, 120)
