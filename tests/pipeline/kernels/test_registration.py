"""Registered alignment: what the head does is taken out, what the face does stays.

The motion is planted in the two photographs of the demo (`benchmarks/moving_faces.py`); over many
real faces it is measured by `benchmarks/alignment.py` and by `test_registration_of_real_faces`.
"""

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from benchmarks.moving_faces import MOTIONS, Motion, demo_faces, make_face, move
from mol_pipeline.config import AlignmentConfig, BuildConfig, DetectionConfig, FlowConfig
from mol_pipeline.contract.shard_layout import FaceStatus
from mol_pipeline.kernels.alignment import FrameView, warp_to_aligned
from mol_pipeline.kernels.geometry import apply_transform, compose, invert_transform, similarity
from mol_pipeline.kernels.light import match_light
from mol_pipeline.kernels.registration import FaceReference, rigid_face
from mol_pipeline.shards.preview import StoredClip
from mol_pipeline.stages.video import align_video, load_kernels

KERNELS = load_kernels(FlowConfig(), None)
FACES = demo_faces(height=600)
GRID = np.stack(np.meshgrid(np.arange(24, 120, 8.0), np.arange(24, 120, 8.0)), axis=-1)
REGISTERED = AlignmentConfig(reference="registered")


def prepared(frames, **detection):
    config = BuildConfig(alignment=REGISTERED, detection=DetectionConfig(**detection))
    return align_video(
        enumerate(frames), KERNELS, config, again=lambda which: [(n, frames[n]) for n in which]
    )


def false_motion(transforms, heads):
    """Mean motion a pair that transforms leave of the head's, aligned pixels."""
    first = compose(transforms[0], invert_transform(heads[0]))
    left = [
        apply_transform(compose(one, invert_transform(compose(first, head))), GRID)
        for one, head in zip(transforms, heads, strict=True)
    ]
    steps = [np.linalg.norm(b - a, axis=-1).mean() for a, b in itertools.pairwise(left)]
    return float(np.mean(steps))


def registered(clip):
    video = prepared(clip.frames)
    return [video.faces.transform(n) for n in range(len(clip.frames))], video


@pytest.mark.parametrize("face", FACES, ids=[face.name for face in FACES])
@pytest.mark.parametrize(
    "motion", [one for one in MOTIONS if not one.yaw_degrees], ids=lambda one: one.name
)
def test_the_heads_motion_is_taken_out_whatever_the_face_does(face, motion):
    clip = move(face, motion)
    transforms, video = registered(clip)
    limit = 0.035 if motion.expression else 0.02
    assert false_motion(transforms, clip.transforms) <= limit
    assert FaceStatus.UNREGISTERED not in video.statuses.values()
    assert video.residual_px < 0.3


@pytest.mark.parametrize("face", FACES, ids=[face.name for face in FACES])
def test_a_planted_expression_is_what_the_flow_shows(face):
    """The bounds over many faces are in `benchmarks/results/alignment.json`; these are two."""
    motion = Motion("smile", sway_px=1.5, expression="smile", peak_px=2.0)
    clip = move(face, motion)
    transforms, _ = registered(clip)
    errors = {"registered": [], "truth": []}
    for name, chosen in (("registered", transforms), ("truth", clip.transforms)):
        pictures = [warp_to_aligned(g, t) for g, t in zip(clip.frames, chosen, strict=True)]
        for pair in (2, 3):
            flow = KERNELS.flow(pictures[pair], pictures[pair + 1])
            error = np.hypot(*(flow - clip.flows[pair]))
            length = np.hypot(*clip.flows[pair])
            errors[name].append(error[length > length.max() / 3].mean())
    assert np.mean(errors["registered"]) <= 1.2 * np.mean(errors["truth"])


@pytest.mark.parametrize(("shift", "degrees", "scale"), [(5, 0, 1), (9, 3, 1.03), (-8, -4, 0.95)])
def test_large_motion_is_found_coarse_to_fine(shift, degrees, scale):
    face = FACES[0]
    centre = face.landmarks.mean(axis=0)
    there = similarity(
        angle=np.radians(degrees),
        scale=scale,
        centre=centre,
        target=centre + np.array([shift, -shift]) / face.scale,
    )
    moved = cv2.warpAffine(face.grey, there, face.grey.shape[::-1], flags=cv2.INTER_LINEAR)
    points = apply_transform(face.transform, face.landmarks)
    reference = FaceReference(FrameView(face.grey, face.transform).at(face.transform), points)
    found = reference.register(FrameView(moved, face.transform, 16.0), face.transform)
    left = apply_transform(found.transform, apply_transform(there, face.landmarks)) - points
    assert np.abs(left).max() < 0.1
    assert found.support > 0.9 and found.likeness > 0.98


def test_a_covered_face_is_not_trusted_and_harms_none_after_it():
    """It is placed by smoothed landmarks and marked."""
    face = FACES[0]
    clip = move(face, Motion("sway", sway_px=1.0))
    covered = clip.frames[3].copy()
    top, bottom = face.landmarks[33, 1], face.landmarks[8, 1]
    covered[int(top) : int(bottom) + 40] = 90
    frames = [*clip.frames[:3], covered, *clip.frames[4:]]

    video = prepared(frames, no_face="track", confirm=False)

    transforms = [video.faces.transform(n) for n in range(8)]
    unregistered = [n for n in range(8) if video.statuses[n] is FaceStatus.UNREGISTERED]
    assert unregistered == [3]
    others = [n for n in range(8) if n != 3]
    heads = [clip.transforms[n] for n in others]
    assert false_motion([transforms[n] for n in others], heads) <= 0.02
    back = apply_transform(invert_transform(clip.transforms[3]), GRID)
    by_landmarks = np.linalg.norm(apply_transform(transforms[3], back) - GRID, axis=-1)
    assert by_landmarks.max() < 6


def test_pictures_without_any_face_have_no_support():
    face = FACES[0]
    points = apply_transform(face.transform, face.landmarks)
    reference = FaceReference(FrameView(face.grey, face.transform).at(face.transform), points)
    rng = np.random.default_rng(0)
    for other in (np.full_like(face.grey, 99), rng.integers(0, 255, face.grey.shape, np.uint8)):
        found = reference.register(FrameView(other, face.transform, 16.0), face.transform)
        assert found.likeness < 0.3
        assert np.isfinite(found.transform).all()


def test_a_face_that_changes_for_good_is_followed_from_where_it_changed():
    """A scarf over the mouth that stays there: the first picture no longer serves."""
    face = FACES[0]
    scarf = face.finer.copy()
    scarf[int(3 * face.landmarks[33, 1]) :] = 90
    motion = Motion("sway", sway_px=1.0)
    clip = move(face, motion)
    frames = [*clip.frames[:3], *move(replace(face, finer=scarf), motion).frames[3:]]

    video = prepared(frames, no_face="track", confirm=False, person="place")

    statuses = [video.statuses[n] for n in range(8)]
    assert statuses.count(FaceStatus.UNREGISTERED) == 1
    assert statuses[3] is FaceStatus.UNREGISTERED
    transforms = [video.faces.transform(n) for n in range(4, 8)]
    assert false_motion(transforms, clip.transforms[4:]) <= 0.03


def test_the_stored_picture_is_the_source_resampled_once():
    clip = move(FACES[0], Motion("sway", sway_px=3.0))
    video = prepared(clip.frames)
    for n, frame in enumerate(clip.frames):
        face = video.faces[n]
        np.testing.assert_array_equal(face.image, warp_to_aligned(frame, face.transform))
        own = apply_transform(invert_transform(face.transform), face.landmarks)
        np.testing.assert_allclose(own, np.round(own), atol=1e-6)  # Dlib's whole pixels, mapped


def test_a_small_face_is_registered_too():
    small = make_face("small", FACES[0].grey, height=400)
    clip = move(small, Motion("sway", sway_px=1.0))
    transforms, _ = registered(clip)
    assert false_motion(transforms, clip.transforms) <= 0.05  # 144 px from fewer of the source


def test_eyes_brows_and_mouth_do_not_pull():
    face = FACES[0]
    points = apply_transform(face.transform, face.landmarks)
    mask = rigid_face(points)
    assert 2000 < mask.sum() < 12000
    inside = mask[tuple(np.clip(np.round(points[:, ::-1]).astype(int), 0, 143).T)]
    assert not inside[17:27].any() and not inside[36:68].any()
    assert inside[27:31].all()


@pytest.mark.parametrize("change", [(1.1, 0.0, 0.0), (0.9, 0.1, 6.0), (1.0, 0.0, 10.0)])
def test_a_change_of_light_is_no_motion(change):
    gain, slope, offset = change
    face = FACES[0]
    picture = warp_to_aligned(face.grey, face.transform)
    light = gain + slope * np.linspace(-1, 1, 144)
    other = np.clip(np.round(picture * light * 0.8 + offset), 0, 255).astype(np.uint8)
    darker = np.round(picture * 0.8).astype(np.uint8)
    inner = (slice(24, 120), slice(24, 120))
    as_it_is = np.hypot(*KERNELS.flow(darker, other))[inner].mean()
    matched = np.hypot(*KERNELS.flow(darker, match_light(darker, other)))[inner].mean()
    assert as_it_is > 0.2
    assert matched < 0.05


def test_light_that_does_not_change_is_left_alone():
    picture = warp_to_aligned(FACES[0].grey, FACES[0].transform)
    np.testing.assert_array_equal(match_light(picture, picture), picture)
    flat = np.full((144, 144), 77, dtype=np.uint8)
    np.testing.assert_array_equal(match_light(flat, flat), flat)


def test_the_contact_sheet_gives_back_the_motion_that_was_taken_out():
    """A still face under a head that moved by (3, -2) px: that is what was there before."""
    turns = [np.eye(2, 3), np.eye(2, 3)]
    turns[1][:, 2] = (-3, 2)  # source -> aligned takes it out
    clip = StoredClip(
        video=None,
        row=0,
        frames=np.zeros((2, 144, 144), np.uint8),
        flow=np.zeros((1, 2, 144, 144), np.float16),
        landmarks=np.zeros((2, 68, 2), np.float32),
        source_frames=np.arange(2, dtype=np.int32),
        transforms=np.stack(turns),
        face_status=np.zeros(2, np.uint8),
    )
    before = clip.flow_with_head
    assert before.shape == (1, 2, 144, 144)
    np.testing.assert_allclose(before[0, 0], 3.0)
    np.testing.assert_allclose(before[0, 1], -2.0)
