"""Alignment, sampling, flow and detection: conventions and laws."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mol_pipeline.contract.errors import ConfigError, SourceError
from mol_pipeline.kernels.alignment import align_face, alignment_transform, warp_to_aligned
from mol_pipeline.kernels.detection import FaceBox, FaceDetector, main_face
from mol_pipeline.kernels.flow import tvl1_flow
from mol_pipeline.kernels.geometry import apply_transform, eye_centres, invert_transform, similarity
from mol_pipeline.kernels.landmarks import LandmarkPredictor, find_landmark_model
from mol_pipeline.kernels.sampling import centre, key_frame_pair, repeated, uniform_phases
from tests.fakes import face_photograph


@pytest.fixture(scope="module")
def face():
    """Photograph `[512, 512]` and its landmarks `[68, 2]`."""
    grey = face_photograph()
    box = main_face(FaceDetector().detect(grey), *grey.shape)
    return grey, LandmarkPredictor().predict(grey, box)


def smooth_noise(seed: int, px: int = 96) -> np.ndarray:
    """Grey texture `[px, px]` whose motion can be followed."""
    noise = np.random.default_rng(seed).normal(size=(px, px)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.mark.parametrize("shift", [(0, 2), (2, 0), (-1, 3)])
def test_convention_flow_is_u_right_then_v_down(shift):
    frame = smooth_noise(0)
    flow = tvl1_flow(frame, np.roll(frame, shift, axis=(0, 1)))
    inner = flow[:, 16:-16, 16:-16].mean(axis=(1, 2))
    rows_down, columns_right = shift
    np.testing.assert_allclose(inner, (columns_right, rows_down), atol=0.1)


def test_flow_of_equal_frames_is_zero():
    frame = smooth_noise(1)
    assert np.abs(tvl1_flow(frame, frame)).max() < 1e-3


def test_aligned_eyes_lie_on_a_horizontal_line_and_the_centre_is_kept(face):
    grey, landmarks = face
    aligned = align_face(grey, landmarks)
    left, right = eye_centres(aligned.landmarks)
    assert abs(left[1] - right[1]) < 1e-6
    assert left[0] < right[0]
    assert aligned.image.shape == (144, 144)


def test_the_inverse_transform_brings_landmarks_back(face):
    grey, landmarks = face
    aligned = align_face(grey, landmarks)
    back = apply_transform(invert_transform(aligned.transform), aligned.landmarks)
    assert np.abs(back - landmarks).max() < 0.01


def test_the_box_of_five_points_times_two_and_a_half_fills_the_frame(face):
    _, landmarks = face
    moved = apply_transform(alignment_transform(landmarks), landmarks)
    anchors = np.stack([*eye_centres(moved), moved[30], moved[48], moved[54]])
    low, high = anchors.min(axis=0), anchors.max(axis=0)
    assert (high - low).max() * 2.5 == pytest.approx(143)
    np.testing.assert_allclose((low + high) / 2, 71.5)


@pytest.mark.parametrize("degrees", [-20, 7, 35])
def test_alignment_undoes_a_rotation_and_scale_of_the_face(face, degrees):
    _, landmarks = face
    turn = similarity(
        angle=np.radians(degrees),
        scale=1.7,
        centre=np.array([200.0, 100]),
        target=np.array([9.0, 5]),
    )
    turned = apply_transform(turn, landmarks)
    plain = apply_transform(alignment_transform(landmarks), landmarks)
    np.testing.assert_allclose(
        apply_transform(alignment_transform(turned), turned), plain, atol=1e-6
    )


def test_image_and_landmarks_go_through_the_same_transform():
    grey = np.zeros((300, 300), np.uint8)
    cv2.circle(grey, (120, 170), 4, 255, -1)
    transform = similarity(
        angle=0.2, scale=0.8, centre=np.array([120.0, 170]), target=np.array([60.0, 80])
    )
    image = warp_to_aligned(grey, transform).astype(float)
    y, x = np.indices(image.shape)
    weight = np.clip(image - 5, 0, None) * (image != 128)
    assert (x * weight).sum() / weight.sum() == pytest.approx(60, abs=0.05)
    assert (y * weight).sum() / weight.sum() == pytest.approx(80, abs=0.05)


def test_a_large_face_is_smoothed_before_it_is_reduced():
    noise = np.random.default_rng(0).integers(0, 255, (1000, 1000)).astype(np.uint8)
    transform = similarity(
        angle=0.0, scale=0.15, centre=np.array([500.0, 500]), target=np.array([71.5, 71.5])
    )
    bilinear = cv2.warpAffine(noise, transform, (144, 144))
    assert warp_to_aligned(noise, transform).std() < 0.35 * bilinear.std()


def test_coinciding_landmarks_are_refused():
    with pytest.raises(ValueError, match="lie within"):
        alignment_transform(np.full((68, 2), 5.0))


@given(available=st.integers(0, 400), frames=st.integers(2, 16))
def test_phases_are_sorted_disjoint_equally_spaced_and_inside(available, frames):
    phases = uniform_phases(available, frames)
    assert len(phases) == available // frames
    used = np.concatenate(phases) if phases else np.array([], int)
    assert len(set(used.tolist())) == len(used)
    for phase in phases:
        assert len(phase) == frames and phase[0] >= 0 and phase[-1] < available
        assert (np.diff(phase) == available // frames).all()
    (*middle,) = centre(dict(enumerate(phases)))
    assert middle == ([len(phases) // 2] if phases else [])


@given(available=st.integers(1, 7))
def test_repeating_keeps_order_and_both_ends(available):
    (clip,) = repeated(available, 8)
    assert clip[0] == 0 and clip[-1] == available - 1
    assert (np.diff(clip) >= 0).all() and len(clip) == 8


def test_key_frames_are_found_by_number_not_position():
    numbers = np.array([100, 101, 103, 110])
    np.testing.assert_array_equal(key_frame_pair(numbers, 101, 110), [[1, 3]])
    assert key_frame_pair(numbers, 101, 102) == []
    assert key_frame_pair(numbers, 101, 101) == []
    assert key_frame_pair(numbers, 101, 999) == []


def test_a_clip_of_one_frame_is_refused():
    with pytest.raises(ConfigError, match="frames=1"):
        uniform_phases(10, 1)


def test_the_largest_and_most_central_face_is_chosen():
    small = FaceBox(400, 400, 450, 450, score=3.0)
    large = FaceBox(100, 100, 300, 300, score=1.0)
    equal_but_cornered = FaceBox(700, 700, 900, 900, score=9.0)
    assert main_face([small, large, equal_but_cornered], 900, 900) == large
    assert main_face([], 900, 900) is None


def test_no_face_in_noise():
    assert FaceDetector().detect(smooth_noise(2, px=200)) == []


def test_a_missing_or_wrong_landmark_model_is_named(tmp_path):
    with pytest.raises(SourceError, match="--landmark-model"):
        find_landmark_model(tmp_path / "none.dat")
    wrong = tmp_path / "wrong.dat"
    wrong.write_bytes(b"not a model")
    with pytest.raises(SourceError, match=r"wrong\.dat"):
        LandmarkPredictor(wrong)
