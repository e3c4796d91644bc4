"""What `predict` makes of films and folders that say something of their own."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from mol_model.inference.film import FOLDER_RATE, source_pace, write_film
from mol_model.inference.video import cut_windows, open_video, prepare_windows
from mol_pipeline.config import BuildConfig, SamplingConfig
from mol_pipeline.contract.rejections import Rejection
from mol_pipeline.reading.films import probe_film
from mol_pipeline.stages.footage import read_pictures
from mol_pipeline.stages.video import choose_clips, load_kernels
from tests.fakes import face_photograph
from tests.sources import CASES, COUNT, FILMS, pictures
from tests.sources import write_film as write_source

CONFIG = BuildConfig(sampling=SamplingConfig(frames=8, phases="centre"))
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="no small inputs beside the project")


def film_of(path, out):
    """The film that `predict` would write, undrawn."""
    video = open_video(path)
    shown = [picture for _, picture in read_pictures(video, path.parent)]
    write_film(out, shown, source_pace(video, path.parent))
    return probe_film(out).seconds


def test_a_film_with_unequal_steps_keeps_its_length_and_its_steps(tmp_path):
    stamps = [40 * k if k < 16 else 600 + 160 * (k - 15) for k in range(COUNT)]
    path = write_source(tmp_path / "film.mp4", pictures(), stamps=stamps)
    seconds = film_of(path, tmp_path / "out.mp4")
    assert [float(one) for one in seconds] == pytest.approx([s / 1000 for s in stamps], abs=1e-3)


@pytest.mark.parametrize("name", ["ntsc", "film in matroska", "fast", "transport stream", "mjpeg"])
def test_a_film_with_equal_steps_keeps_its_rate(tmp_path, name):
    path = FILMS[name].write(tmp_path / "film")
    seconds = film_of(path, tmp_path / "out.mp4")
    assert len(seconds) == COUNT
    assert float(seconds[-1]) == pytest.approx((COUNT - 1) / FILMS[name].rate, rel=0.01)


def test_a_folder_has_the_pace_of_its_names_or_the_usual_one(tmp_path):
    # Every tenth frame of a film is no film of 100 pictures a second.
    for step, width, expected in (
        (100, 6, Fraction(10)),
        (1, 6, FOLDER_RATE),
        (10, 1, FOLDER_RATE),
    ):
        folder = tmp_path / f"{step}"
        folder.mkdir()
        for k in range(COUNT):
            cv2.imwrite(str(folder / f"{step * k:0{width}d}.png"), pictures()[k])
        assert source_pace(open_video(folder), tmp_path).rate == expected


def test_one_of_two_series_is_looked_at_by_a_pattern(tmp_path):
    for side in ("left", "right"):
        for k in range(COUNT):
            cv2.imwrite(str(tmp_path / f"{side}{k}.png"), pictures()[k])
    with pytest.raises(Rejection, match="two series of frames"):
        open_video(tmp_path)
    video = open_video(tmp_path / "right*")
    read = [grey for _, grey in read_pictures(video, tmp_path)]
    assert len(read) == COUNT
    assert (read[3][..., 0] == pictures()[3]).all()


def test_a_damaged_frame_costs_its_window_and_no_other(tmp_path):
    folder = tmp_path / "film"
    folder.mkdir()
    face = face_photograph()[20:260, 100:340]
    for k in range(24):
        cv2.imwrite(str(folder / f"{k}.jpg"), np.roll(face, k % 3, axis=1))
    spoiled = folder / "11.jpg"
    spoiled.write_bytes(spoiled.read_bytes()[:-200] + b"\xff\xd9")
    kernels = load_kernels(CONFIG.flow, None)
    video = open_video(folder)
    first, second, third = prepare_windows(
        video, tmp_path, cut_windows(video, 8, 8), kernels, CONFIG
    )
    assert second.code == "damaged-frame"
    assert "11.jpg" in second.message
    assert first.remarks == third.remarks == ()
    assert third.source_frames.tolist() == [list(range(16, 24))]


@needs_cases
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("trimmed.mp4", 22),
        ("midgop.ts", 16),
        ("cover_first.mkv", 40),
        ("vfr.mp4", 19),
        ("sar_4_3.mp4", 40),
        ("base.mp4", 40),
        ("time_ms", 30),
    ],
)
def test_the_reported_sources_can_be_looked_at(tmp_path, name, count):
    video = open_video(CASES / name)
    assert len(video.frames) == count
    assert choose_clips(video, CONFIG)
    shown = [picture for _, picture in read_pictures(video, CASES)]
    assert len(shown) == count
    assert shown[0].shape == (288, 360, 3)


@needs_cases
def test_a_film_without_a_picture_is_refused_plainly():
    with pytest.raises(Rejection, match="holds no video stream, only audio"):
        open_video(CASES / "audio_only.mp4")
