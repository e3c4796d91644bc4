"""Whose face it is: other people, jumps of the picture, faces that are hardly sure."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mol_pipeline.config import BuildConfig, DetectionConfig, FlowConfig, SamplingConfig
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.contract.rejections import Rejection
from mol_pipeline.contract.shard_layout import KEY_ARRAY_NAMES, FaceStatus, no_key_frames
from mol_pipeline.databases.demo.faces import load_portrait
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.kernels.continuity import PictureJumps
from mol_pipeline.kernels.tracking import FaceTracker
from mol_pipeline.stages.video import PictureCut, align_video, load_kernels, prepare_video

KERNELS = load_kernels(FlowConfig(), None)
SHARED = Path(__file__).parents[4] / "shared"
SIDE = 240
DETECTED, TRACKED, DOUBTFUL = FaceStatus.DETECTED, FaceStatus.TRACKED, FaceStatus.DOUBTFUL


def face_of(name, side=SIDE):
    """The face of a portrait, square, with some rim."""
    portrait = load_portrait(name)
    low, high = portrait.landmarks.min(axis=0), portrait.landmarks.max(axis=0)
    (x, y), half = (low + high) / 2, 0.95 * (high - low).max()
    top, left = max(0, int(y - half)), max(0, int(x - half))
    crop = portrait.grey[top : int(y + half), left : int(x + half)]
    return cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)


ANNA, BERTA = face_of("astronaut"), face_of("grace_hopper")


def scene(anna=None, berta=None, size=(300, 640), background=110):
    """A picture with one face or two, each at a place (left, top)."""
    picture = np.full(size, background, dtype=np.uint8)
    for face, place in ((ANNA, anna), (BERTA, berta)):
        if place is not None:
            left, top = place
            picture[top : top + SIDE, left : left + SIDE] = face
    return picture


LEFT, RIGHT = (20, 20), (370, 30)


def tracker(**settings):
    config = DetectionConfig(**settings)
    return FaceTracker(KERNELS.detector, KERNELS.predictor, config, KERNELS.recogniser)


def align(frames, config):
    return align_video(
        enumerate(frames), KERNELS, config, again=lambda which: [(n, frames[n]) for n in which]
    )


def statuses(frames, **settings):
    follow = tracker(**settings)
    return [found and found.status for found in map(follow.find, frames)]


BOTH, ONLY_ANNA, ONLY_BERTA = scene(LEFT, RIGHT), scene(LEFT), scene(None, RIGHT)


@pytest.mark.parametrize("person", ["network", "place"])
@pytest.mark.parametrize("every", [0, 1])
def test_when_the_person_is_gone_the_other_is_not_taken(person, every):
    follow = tracker(person=person, detect_every=every)
    first = follow.find(ONLY_ANNA)
    found = [follow.find(picture) for picture in (BOTH, ONLY_BERTA, ONLY_BERTA, BOTH)]
    assert found[1] is None and found[2] is None
    for one in (found[0], found[3]):
        assert np.abs(one.landmarks - first.landmarks).mean() < 3
    assert not follow.is_replaced


def test_the_policy_is_asked_when_the_person_is_gone():
    frames = [ONLY_ANNA, BOTH, ONLY_BERTA, BOTH]
    with pytest.raises(Rejection, match=r"no face in 1 of 4 frames \(first: 2\)") as caught:
        align(frames, BuildConfig())
    assert caught.value.code == "no-face"
    config = BuildConfig(detection=DetectionConfig(no_face="interpolate"))
    video = align(frames, config)
    assert video.statuses[2] is FaceStatus.INTERPOLATED


def test_a_person_who_comes_back_elsewhere_is_known():
    back = scene((330, 40))
    assert statuses([ONLY_ANNA, ONLY_BERTA, back]) == [DETECTED, None, DETECTED]
    # By place alone nobody can say who it is.
    assert statuses([ONLY_ANNA, ONLY_BERTA, back], person="place") == [DETECTED, None, None]


@pytest.mark.parametrize("person", ["network", "place"])
def test_a_fast_head_is_followed(person):
    """Half a face further from frame to frame: boxes of neighbours hardly overlap."""
    frames = [scene((20 + 110 * step, 20 + 10 * step)) for step in range(4)]
    assert None not in statuses(frames, person=person)


def test_another_face_in_the_same_place_is_no_motion():
    frames = [ONLY_ANNA, ONLY_ANNA, scene(None, LEFT), scene(None, LEFT)]
    follow = tracker()
    assert [follow.find(picture) is None for picture in frames] == [False, False, True, True]
    with pytest.raises(PictureCut, match="between positions 1 and 2") as caught:
        align(frames, BuildConfig())
    assert (caught.value.code, caught.value.before, caught.value.after) == ("cut", 1, 2)
    config = BuildConfig(sampling=SamplingConfig(cuts="ignore"))
    with pytest.raises(Rejection, match="no face in 2 of 4"):
        align(frames, config)


def test_a_jump_of_the_scene_is_seen_and_a_moving_camera_or_lamp_is_not():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (12, 24)).astype(np.uint8)
    wide = cv2.resize(small, (1200, 600), interpolation=cv2.INTER_CUBIC)
    still = [np.clip(wide[:300, :400] + rng.normal(0, 2, (300, 400)), 0, 255) for _ in range(6)]
    still = [picture.astype(np.uint8) for picture in still]

    def jumps(pictures):
        watch = PictureJumps()
        return [watch.at(picture) for picture in pictures]

    other = wide[300:600, 700:1100]
    assert jumps([*still, other, other]) == [False] * 6 + [True, False]
    assert not any(jumps([wide[:300, 40 * n : 40 * n + 400] for n in range(15)]))
    assert not any(jumps([*still, *(picture // 2 for picture in still)]))


def turned(picture, degrees):
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


def test_a_face_that_is_hardly_sure_is_marked_or_rejects():
    assert statuses([ANNA, ANNA]) == [DETECTED, TRACKED]
    assert statuses([ANNA, ANNA], least_score=9.0) == [DOUBTFUL, DOUBTFUL]
    leaning = turned(scene((200, 30)), 20)
    assert statuses([leaning]) == [DETECTED]
    assert statuses([leaning], largest_turn=10.0) == [DOUBTFUL]
    config = BuildConfig(detection=DetectionConfig(least_score=9.0, doubtful="reject"))
    with pytest.raises(Rejection, match="hardly sure to be upright in 2 of 2") as caught:
        align([ANNA, ANNA], config)
    assert caught.value.code == "doubtful-face"


def written(root, pictures):
    """A video of pictures."""
    folder = root / "clip"
    folder.mkdir()
    for number, picture in enumerate(pictures, start=1):
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture)
    return SourceVideo(
        database="own",
        subject="1",
        person="1",
        clip="clip",
        raw_label="x",
        key_frames=KeyFrames(),
        folder="clip",
        frames=tuple((n, f"{n:03d}.png") for n in range(1, len(pictures) + 1)),
    )


def test_a_video_is_split_where_the_picture_jumps(tmp_path):
    """Each piece has the clips that it would have alone; a piece that is too short is said."""
    pictures = [scene((20 + n, 20)) for n in range(4)]
    pictures += [scene(None, (20, 20))]
    pictures += [scene((20 + n, 20)) for n in range(5)]
    video = written(tmp_path, pictures)
    config = BuildConfig(
        sampling=SamplingConfig(frames=2, cuts="split"), flow=FlowConfig(warps=1, scales=2)
    )
    with pytest.raises(Rejection, match="between frames 4 and 5"):
        prepare_video(
            video, tmp_path, config.model_copy(update={"sampling": SamplingConfig(frames=2)})
        )
    found = prepare_video(video, tmp_path, config)
    pieces = [
        prepare_video(replace(video, frames=video.frames[part]), tmp_path, config)
        for part in (slice(0, 4), slice(5, 10))
    ]
    assert found.arrays["phase"].tolist() == [0, 1, 5, 6]  # counted from the start of the video
    for name, array in found.arrays.items():
        if name == "phase":
            continue
        if name in KEY_ARRAY_NAMES:  # onset and apex may lie on two sides of the jump
            np.testing.assert_array_equal(array, no_key_frames()[name])
            continue
        alone = np.concatenate([piece.arrays[name] for piece in pieces])
        np.testing.assert_array_equal(array, alone)
    assert found.remarks == (
        "split where the picture jumps: frames 1 to 4, 2 clips",
        "split where the picture jumps: frames 5 to 5 left out (too-short)",
        "split where the picture jumps: frames 6 to 10, 2 clips",
    )


needs_faces = pytest.mark.skipif(
    not (SHARED / "faces").is_dir(), reason="the shared footage is not beside this checkout"
)


def film(path):
    from mol_pipeline.databases.sources import open_source

    source = open_source(path)
    return SourceVideo(
        database="own",
        subject="1",
        person="1",
        clip=path.stem,
        raw_label="x",
        key_frames=KeyFrames(),
        folder=path.name,
        frames=source.frames,
    )


@needs_faces
def test_a_hard_cut_between_two_people_is_named():
    path = SHARED / "cases" / "hardcut.mp4"
    config = BuildConfig(flow=FlowConfig(warps=1, scales=2))
    with pytest.raises(Rejection, match="between frames 19 and 20") as caught:
        prepare_video(film(path), path.parent, config)
    assert caught.value.code == "cut"
    once = SamplingConfig(cuts="split", phases="centre")
    split = config.model_copy(update={"sampling": once})
    prepared = prepare_video(film(path), path.parent, split)
    assert prepared.clips == 2
    pieces = {tuple(row // 20) for row in prepared.arrays["source_frames"]}
    assert pieces == {(0,) * 8, (1,) * 8}
    assert np.abs(prepared.arrays["flow"]).max() < 15


@needs_faces
def test_an_upside_down_face_is_not_accepted_without_a_mark():
    from mol_pipeline.reading.frames import read_video_frames

    found = []
    for path in sorted((SHARED / "faces/videos").glob("*.mp4")):
        frames = [grey for _, grey in read_video_frames(path, range(0, 60, 10))]
        for quarter in (1, 2, 3):
            follow = tracker()
            found += [follow.find(np.ascontiguousarray(np.rot90(grey, quarter))) for grey in frames]
    assert {one.status for one in found if one} == {DOUBTFUL}
