"""Registered alignment over real faces; all of them, with their numbers: `benchmarks/alignment.py`.

The pictures lie beside the project, in `../shared/faces`, where they are to be had.
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.moving_faces import MOTIONS, make_face, move
from mol_pipeline.config import AlignmentConfig, BuildConfig, FlowConfig
from mol_pipeline.contract.shard_layout import FaceStatus
from mol_pipeline.kernels.geometry import apply_transform, compose, invert_transform
from mol_pipeline.reading.frames import read_grey, read_video_frames
from mol_pipeline.stages.video import align_video, load_kernels

FACES = Path(__file__).parents[4] / "shared" / "faces"
pytestmark = pytest.mark.skipif(
    not FACES.is_dir(), reason="the shared photographs of faces are not beside this checkout"
)
KERNELS = load_kernels(FlowConfig(), None)
GRID = np.stack(np.meshgrid(np.arange(24, 120, 8.0), np.arange(24, 120, 8.0)), axis=-1)
SHOWN = {one.name: one for one in MOTIONS}


def prepared(frames, reference):
    config = BuildConfig(alignment=AlignmentConfig(reference=reference))
    again = lambda which: [(n, frames[n]) for n in which]  # noqa: E731
    return align_video(enumerate(frames), KERNELS, config, again=again)


@pytest.mark.parametrize(("name", "limit"), [("sway 3 px", 0.015), ("smile 2 px", 0.03)])
def test_the_heads_motion_is_taken_out_of_every_face(name, limit):
    portraits = sorted((FACES / "portraits").glob("*"))[::6]
    assert len(portraits) >= 4
    for number, path in enumerate(portraits):
        face = make_face(path.stem, read_grey(path), height=600)
        clip = move(face, SHOWN[name], seed=number)
        video = prepared(clip.frames, "registered")
        assert FaceStatus.UNREGISTERED not in video.statuses.values(), path.stem
        first = compose(video.faces.transform(0), invert_transform(clip.transforms[0]))
        left = [
            apply_transform(
                compose(video.faces.transform(n), invert_transform(compose(first, head))), GRID
            )
            for n, head in enumerate(clip.transforms)
        ]
        false = np.linalg.norm(np.diff(left, axis=0), axis=-1).mean()
        assert false <= limit, (path.stem, false)


def test_the_nose_and_the_cheeks_of_people_who_talk_hold_still():
    films = sorted((FACES / "videos").glob("*.mp4"))
    assert len(films) >= 3
    for path in films[:2]:
        frames = [grey for _, grey in read_video_frames(path, range(0, 60, 3))]
        moved = {}
        for reference in ("frame", "video", "registered"):
            video = prepared(frames, reference)
            points = video.faces.landmarks(0)
            places = [points[27:29].mean(axis=0), points[41] + (0, 18), points[46] + (0, 18)]
            flow = np.hypot(*np.moveaxis(video.clip_flow(KERNELS, range(20)), 1, 0))
            moved[reference] = np.mean(
                [
                    flow[:, round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4].mean()
                    for x, y in places
                ]
            )
        assert moved["registered"] <= 0.5 * min(moved["frame"], moved["video"]), (path, moved)
