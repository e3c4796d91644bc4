"""The synthetic database: SAMM's layout, real faces, motion that TV-L1 recovers."""

import json

import cv2
import numpy as np
import pytest

from mol_pipeline.config import DetectionConfig, FlowConfig
from mol_pipeline.contract.errors import ConfigError, SourceError
from mol_pipeline.databases.adapters.samm import TABLE, Samm
from mol_pipeline.databases.demo import read_truth, true_flow, write_demo
from mol_pipeline.databases.demo.faces import SOURCES, load_portrait
from mol_pipeline.databases.demo.render import make_subject, make_truth, render_frame
from mol_pipeline.databases.demo.warps import ANGER, CONTEMPT_LEFT, HAPPINESS, SURPRISE
from mol_pipeline.databases.tables import read_table
from mol_pipeline.kernels.alignment import align_face
from mol_pipeline.kernels.flow import tvl1_flow
from mol_pipeline.kernels.tracking import FaceTracker
from mol_pipeline.reading.frames import read_grey
from mol_pipeline.stages.video import load_kernels

KERNELS = load_kernels(FlowConfig(), None)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "db"
    summary = write_demo(out, subjects=2, seed=3)
    return out, summary


def test_the_samm_adapter_reads_it_and_knows_that_it_is_synthetic(demo):
    out, summary = demo
    index = Samm().index(out)
    assert index.synthetic
    assert len(index.videos) == summary.clips == 16
    assert not index.rejected
    words = {video.raw_label for video in index.videos}
    assert words == {"Anger", "Happiness", "Surprise", "Contempt", "Other"}
    for video in index.videos:
        assert not video.missing
        assert len(video.frames) >= 16
        assert video.frames[0][1] == f"{video.subject}_{video.key_frames.onset:05d}.jpg"
    marks = json.loads((out / "SYNTHETIC.json").read_text())
    assert marks["synthetic"] is True
    assert all("public domain" in source["licence"] for source in marks["sources"])


def test_the_spreadsheet_has_samms_form(demo):
    out, summary = demo
    rows = list(read_table(summary.table, {**TABLE.columns, "duration": ("Duration",)}))
    assert rows[0].number == 15  # the header is on row 14
    assert rows[0].text("subject") == "006"
    for row in rows:  # formulas come as values
        assert int(row.text("duration")) == int(row.text("offset")) - int(row.text("onset")) + 1
    assert (out / "truth/006").is_dir()


def test_the_same_seed_gives_the_same_bytes(demo, tmp_path):
    out, _ = demo
    write_demo(tmp_path / "again", subjects=1, seed=3)
    files = list((out / "SAMM/006").rglob("*.jpg"))
    assert len(files) > 100
    for path in files:
        assert (tmp_path / "again" / path.relative_to(out)).read_bytes() == path.read_bytes()


def test_dlib_finds_every_face(demo):
    out, _ = demo
    for video in Samm().index(out).videos[::5]:
        greys = {n: read_grey(out / video.folder / name) for n, name in video.frames}
        tracker = FaceTracker(KERNELS.detector, KERNELS.predictor, DetectionConfig(upsample=0))
        assert all(tracker.find(grey) for grey in greys.values())
        assert next(iter(greys.values())).shape == (650, 960)


def test_the_truth_leads_there_and_back(demo):
    out, _ = demo
    truth = read_truth(next((out / "truth/007").glob("*.npz")))
    points = np.random.default_rng(0).uniform((350, 200), (600, 450), (50, 2))
    back = truth.to_canvas(7, truth.from_canvas(7, points))
    np.testing.assert_allclose(back, points, atol=0.01)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(("expression", "peak_px"), [(SURPRISE, 1.0), (HAPPINESS, 2.0)])
def test_tvl1_agrees_with_the_true_motion(number, expression, peak_px):
    subject = make_subject(0, number)
    rng = np.random.default_rng(0)
    truth = make_truth(subject, expression, np.arange(9), 8, peak_px, rng, sway_px=0.5)
    frames = [render_frame(subject, truth, index, rng) for index in (0, 8)]
    tracker = FaceTracker(KERNELS.detector, KERNELS.predictor, DetectionConfig())
    landmarks = tracker.find(frames[0]).landmarks
    first = align_face(frames[0], landmarks)
    second = align_face(frames[1], landmarks, first.transform)
    expected = true_flow(truth, 0, 8, first.transform, second.transform)
    assert 0.5 < np.hypot(*expected).max() < peak_px + 3

    # Moving regions: where the expression moves by a third of its peak or more.
    still = truth.amplitudes.copy()
    still[:] = 0
    head = type(truth)(truth.numbers, still, truth.heads, truth.coarse_field)
    by_head = true_flow(head, 0, 8, first.transform, second.transform)
    moving = np.hypot(*(expected - by_head)) > peak_px / 3
    assert moving.sum() > 200

    found = tvl1_flow(first.image, second.image)
    error = np.hypot(*(found - expected))[moving].mean()
    zero = np.hypot(*expected)[moving].mean()
    assert error <= 0.5 * zero, f"end-point error {error:.3f} px, zero flow {zero:.3f} px"


def test_expressions_move_the_right_part_of_the_face():
    subject = make_subject(0, 0)

    def motion(expression, point):
        rng = np.random.default_rng(0)
        truth = make_truth(subject, expression, np.arange(3), 2, 3.0, rng)
        still_heads = np.repeat(np.eye(2, 3)[None], 3, axis=0)
        truth = type(truth)(truth.numbers, truth.amplitudes, still_heads, truth.coarse_field)
        place = subject.landmarks[[point]]
        moved = truth.from_canvas(2, place) - truth.from_canvas(0, place)
        return moved[0] * subject.aligned_scale

    assert motion(SURPRISE, 19)[1] < -1.0  # brow up
    assert motion(ANGER, 21)[1] > 1.0  # inner brow down
    assert motion(HAPPINESS, 48)[1] < -0.8 and motion(HAPPINESS, 54)[1] < -0.8
    assert motion(CONTEMPT_LEFT, 48)[1] < -0.8 < motion(CONTEMPT_LEFT, 54)[1]


def test_a_directory_in_use_and_other_layouts_are_refused(tmp_path):
    (tmp_path / "letter.txt").touch()
    with pytest.raises(ConfigError, match="already in use"):
        write_demo(tmp_path)
    with pytest.raises(ConfigError, match="layout 'ck'"):
        write_demo(tmp_path / "new", layout="ck")
    with pytest.raises(ConfigError, match="subjects=0"):
        write_demo(tmp_path / "new", subjects=0)


def test_heads_sway_as_far_as_they_are_told(demo):
    subject = make_subject(0, 0)

    def drift(**options):
        truth = make_truth(
            subject, SURPRISE, np.arange(40), 20, 1.0, np.random.default_rng(0), **options
        )
        middle = subject.landmarks.mean(axis=0)
        there = np.stack([head[:, :2] @ middle + head[:, 2] for head in truth.heads])
        return np.abs(there - middle).max()

    assert drift(sway_px=0.0) < 1e-9
    assert 1.0 < drift() <= 2.0 + 1e-9  # the default: people who try to keep still
    assert drift(sway_px=8.0) == pytest.approx(4 * drift())
    marks = json.loads((demo[0] / "SYNTHETIC.json").read_text())
    assert marks["sway_px"] == 2.0


@pytest.fixture
def portraits(tmp_path):
    """Two photographs of people, one of nobody, and a letter."""
    folder = tmp_path / "portraits"
    folder.mkdir()
    for name in SOURCES:
        cv2.imwrite(str(folder / f"{name}.png"), load_portrait(name).grey)
    cv2.imwrite(str(folder / "wall.png"), np.full((300, 300), 128, dtype=np.uint8))
    (folder / "letter.txt").write_text("to whom it may concern")
    return folder


def test_ones_own_portraits_make_a_database_of_as_many_people(portraits, tmp_path):
    summary = write_demo(tmp_path / "db", portraits=portraits, sway_px=1.0)
    assert summary.subjects == 2
    assert sorted(reason.split(":")[0].rsplit("/", 1)[1] for reason in summary.refused) == [
        "letter.txt",
        "wall.png",
    ]
    assert any("finds no face" in reason for reason in summary.refused)
    marks = json.loads((tmp_path / "db/SYNTHETIC.json").read_text())
    assert [one["name"] for one in marks["sources"]] == ["astronaut.png", "grace_hopper.png"]
    assert "public domain" not in (tmp_path / "db/README.txt").read_text()
    index = Samm().index(tmp_path / "db")
    assert index.synthetic
    assert len({video.subject for video in index.videos}) == 2
    shown = read_grey(tmp_path / "db" / index.videos[0].folder / index.videos[0].frames[0][1])
    assert KERNELS.detector.detect(shown)


def test_portraits_without_a_face_and_too_many_subjects_are_refused(portraits, tmp_path):
    with pytest.raises(ConfigError, match=r"subjects=3: must be between 1 and 2 .* 2 faces"):
        write_demo(tmp_path / "db", portraits=portraits, subjects=3)
    for name in SOURCES:
        (portraits / f"{name}.png").unlink()
    with pytest.raises(SourceError, match=r"(?s)no photograph with a face.*letter\.txt.*wall\.png"):
        write_demo(tmp_path / "db", portraits=portraits)
    with pytest.raises(SourceError, match="--portraits"):
        write_demo(tmp_path / "db", portraits=tmp_path / "absent")
    with pytest.raises(ConfigError, match="sway=-1"):
        write_demo(tmp_path / "db", sway_px=-1)
    assert not (tmp_path / "db").exists()
