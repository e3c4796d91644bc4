"""Predictions on films and folders of frames: mapping, windows, people, pages, refusals."""

import json
import struct
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mol_model.cli import main
from mol_model.clips.views import Normalisation
from mol_model.inference.document import LIMITS
from mol_model.inference.estimate import GRID_PX, estimate_window
from mol_model.inference.mapping import points_to_source, vectors_to_source
from mol_model.inference.overlay import FrameMarks, arrow_scale, draw_marks
from mol_model.inference.predict import (
    PredictOptions,
    fitted_config,
    load_preparation,
    predict_videos,
)
from mol_model.inference.video import RejectedWindow, cut_windows, open_video, prepare_windows
from mol_model.networks.mol.build import build_network
from mol_model.scoring.evaluation import phase_mean
from mol_model.training.checkpoint import load_model, read_record, save_checkpoint
from mol_pipeline.config import BuildConfig, DetectionConfig, SamplingConfig
from mol_pipeline.contract.errors import ConfigError, TrainingError
from mol_pipeline.kernels.geometry import apply_transform, similarity
from mol_pipeline.kernels.tracking import FaceTracker
from mol_pipeline.reading.frames import read_video_frames
from mol_pipeline.stages.video import Rejection, load_kernels, prepare_video, read_frames
from tests.model.inference_fixture import (
    FACES,
    Oracle,
    demo_folders,
    pictures_of,
    train_checkpoint,
    write_pictures,
)

CPU = torch.device("cpu")
CONFIG = BuildConfig()
KERNELS = load_kernels(CONFIG.flow, None)
AS_IS = Normalisation(0.0, 1.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("inference")


@pytest.fixture(scope="module")
def checkpoint(place):
    return train_checkpoint(place)


@pytest.fixture(scope="module")
def folders(place):
    """Folders of frames of one synthetic person, 960 x 650."""
    return demo_folders(place)


@pytest.fixture(scope="module")
def long_film(place, folders):
    """44 frames: a clip there and back, and its first frames again."""
    pictures = pictures_of(folders[0])[:16]
    return write_pictures(place / "long.mp4", [*pictures, *pictures[::-1], *pictures[:12]])


def sources(folders):
    """A synthetic folder, and real footage where it is to be had."""
    yield folders[0]
    if FACES.is_dir():
        yield FACES / "videos" / "grid_lbax4n"
        yield FACES / "videos" / "grid_sbia1a.mp4"


def windows_of(path, window=None, config=CONFIG):
    video = open_video(path)
    ranges = cut_windows(video, window, config.sampling.frames)
    return list(prepare_windows(video, path.parent, ranges, KERNELS, config))


def run(*arguments):
    return CliRunner().invoke(main, ["predict", *map(str, arguments), "--device", "cpu"])


def test_points_and_vectors_go_back_through_the_inverse():
    transform = similarity(
        angle=0.3, scale=0.4, centre=np.array([310.0, 250.0]), target=np.array([71.5, 71.5])
    )
    source = np.random.default_rng(0).uniform(200, 400, (5, 2))
    crop = apply_transform(transform, source) - 8
    assert np.allclose(points_to_source(crop, transform, 8), source)
    # One pixel to the right in the aligned frame is 2.5 px along the turned axis in the source.
    right = vectors_to_source(np.array([1.0, 0.0]), transform)
    assert np.allclose(right, 2.5 * np.array([np.cos(0.3), -np.sin(0.3)]))


def test_landmarks_of_an_oracle_are_dlibs_on_the_source_frames(folders):
    for path in sources(folders):
        (window,) = windows_of(path)
        estimate = estimate_window(Oracle(window), window, AS_IS, CPU)
        video = open_video(path)
        # Dlib anew in every frame, by nothing that knows of alignment.
        tracker = FaceTracker(KERNELS.detector, KERNELS.predictor, CONFIG.detection)
        count = len(video.frames) // 8 * 8
        found = {
            video.frames[position][0]: tracker.find(grey).landmarks
            for position, grey in read_frames(video, path.parent, range(count))
        }
        seen = 0
        for clip in estimate.clips:
            for number, points in zip(clip.source_frames[1:], clip.landmarks, strict=True):
                assert np.abs(points - found[number]).max() < 1.5, (path, number)
                seen += 1
        assert seen == count * 7 // 8


def test_a_known_flow_goes_back_to_the_source(folders):
    flow = np.array([1.5, -0.75])
    for path in sources(folders):
        (window,) = windows_of(path)
        clips = estimate_window(Oracle(window, flow), window, AS_IS, CPU).clips
        for clip, transforms in zip(clips, window.transforms, strict=True):
            for starts, arrows, moved, transform in zip(
                clip.arrow_starts, clip.arrows, clip.motion, transforms[:-1], strict=True
            ):
                before = apply_transform(transform, starts)
                after = apply_transform(transform, starts + arrows)
                assert np.allclose(after - before, flow)
                assert np.allclose(before[0], 8 + GRID_PX // 2)
                assert np.allclose(np.linalg.norm(arrows, axis=1), moved)


def test_clips_are_those_of_a_build(folders):
    video = open_video(folders[0])
    built = prepare_video(video, folders[0].parent, CONFIG).arrays
    (window,) = windows_of(folders[0])
    for name in ("frames", "landmarks", "transforms", "source_frames"):
        assert np.array_equal(getattr(window, name), built[name]), name


def test_the_class_is_the_mean_over_phases(folders, checkpoint):
    model, record = load_model(checkpoint, CPU)
    assert not model.module.training
    same, _ = load_model(checkpoint.with_suffix(".safetensors"), CPU)
    (window,) = windows_of(folders[0])
    normalisation = Normalisation(record.mean, record.std)
    estimate = estimate_window(model, window, normalisation, CPU)
    crops = torch.from_numpy(window.frames)[:, :, 8:-8, 8:-8].float()
    with torch.inference_mode():
        logits = same.module((crops - record.mean) / record.std).expression
    assert estimate.probabilities == pytest.approx(phase_mean(logits).tolist(), abs=1e-5)
    assert len(estimate.clips) == len(window.frames) > 1
    assert load_model(checkpoint.parent, CPU)[1] == record
    with pytest.raises(TrainingError, match="no checkpoint there"):
        load_model(checkpoint.with_name("other"), CPU)


@pytest.fixture(scope="module")
def of_units(place):
    """A checkpoint that says which action units are shown."""
    texts = {"Anger": "4+7", "Happiness": "6+12", "Surprise": "1+2"}
    return train_checkpoint(place / "units", mapping="action-units", action_units=texts)


def test_a_model_of_units_says_which_are_shown(folders, long_film, place, of_units):
    model, record = load_model(of_units, CPU)
    prepared_alike = fitted_config(load_preparation(of_units), model, None)
    (window,) = windows_of(folders[0], config=prepared_alike)
    seen_as = Normalisation(record.mean, record.std)
    estimate = estimate_window(model, window, seen_as, CPU, several=True)
    crops = torch.from_numpy(window.frames)[:, :, 8:-8, 8:-8].float()
    with torch.inference_mode():
        logits = model.module((crops - record.mean) / record.std).expression
    expected = logits.double().sigmoid().mean(dim=0).tolist()
    assert estimate.probabilities == pytest.approx(expected, abs=1e-5)

    out = place / "of-units"
    result = run("--checkpoint", of_units, "--out", out, folders[0])
    assert result.exit_code == 0, result.output
    document = json.loads((out / folders[0].name / "prediction.json").read_text())
    chances = document["probabilities"]
    assert list(chances.values()) == pytest.approx(expected, abs=1e-5)
    shown = [name for name, chance in chances.items() if chance >= 0.5]
    assert (document["class"], document["action_units"]) == (None, shown)
    for clip in document["windows"][0]["clips"]:
        likely = [name for name, chance in clip["probabilities"].items() if chance >= 0.5]
        assert clip["action_units"] == likely
    told = ", ".join(f"{name} {100 * chances[name]:.0f} %" for name in shown) or "no action unit"
    assert f"{folders[0].name}: {told}" in result.stdout
    assert told in (out / "index.html").read_text()
    assert "gives one of its classes" not in result.stderr
    assert "no proof of what a person feels" in result.stderr

    result = run(
        *("--checkpoint", of_units, "--out", place / "unit-windows", "--window", "16"),
        *("--no-film", long_film),
    )
    document = json.loads((place / "unit-windows/long/prediction.json").read_text())
    assert document["probabilities"] is None and "action_units" not in document
    assert all("action_units" in one for one in document["windows"])
    assert "of 3 windows" in result.stdout


def test_windows_cover_a_long_video_and_each_gets_a_class(long_film):
    video = open_video(long_film)
    assert cut_windows(video, None, 8) == [range(44)]
    assert cut_windows(video, 18, 8) == [range(18), range(18, 36), range(36, 44)]
    assert cut_windows(video, 41, 8) == [range(41)]  # three frames are no clip
    found = windows_of(long_film, 18)
    assert [(window.first, window.last) for window in found] == [(0, 17), (18, 35), (36, 43)]
    assert [len(window.frames) for window in found] == [2, 2, 1]
    assert found[1].source_frames[0].tolist() == list(range(18, 34, 2))


def test_a_person_who_leaves_and_comes_back(folders, place, checkpoint):
    pictures = pictures_of(folders[0])[:12]
    empty = [np.full_like(pictures[0], 90)] * 8
    film = write_pictures(place / "leaves.mp4", [*pictures, *empty, *pictures])
    whole = windows_of(film)
    assert [one.code for one in whole] == ["no-face"]
    assert "no face in 8 of 32 frames (first: 12)" in whole[0].message
    first, second, third, fourth = windows_of(film, 8)
    assert isinstance(second, RejectedWindow)
    assert isinstance(third, RejectedWindow)
    assert (first.first, fourth.last) == (0, 31)
    result = run(
        "--checkpoint", checkpoint, "--out", place / "left", "--window", 8, "--no-film", film
    )
    assert result.exit_code == 0
    assert "Frames 8 to 15 give no answer: no face in 4 of 8 frames (first: 12)" in result.stderr
    assert "in no clip" not in result.stderr
    assert "of 4 windows" in result.stdout
    assert "Frames 16 to 23 give no answer" in (place / "left/index.html").read_text()
    result = run("--checkpoint", checkpoint, "--out", place / "left", "--no-film", film)
    assert result.exit_code == 6
    assert "--window FRAMES looks at parts" in result.stderr
    bridged = BuildConfig(detection=DetectionConfig(no_face="interpolate"))
    (window,) = windows_of(film, None, bridged)
    assert window.face_frames["interpolated"] == 8


def test_of_two_people_the_larger_is_followed_and_the_other_is_named(folders, place, checkpoint):
    pictures = pictures_of(folders[0])[:8]
    half = [cv2.resize(one, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA) for one in pictures]
    both = []
    for large, small in zip(pictures, half, strict=True):
        canvas = np.full((650, 960 + 576, 3), 128, dtype=np.uint8)
        canvas[:, :960], canvas[: small.shape[0], 960:] = large, small
        both.append(canvas)
    film = write_pictures(place / "two.mp4", both)
    (window,) = windows_of(film)
    assert list(window.others) == [0]  # the detector looked in the first frame
    (other,) = window.others[0]
    assert other.left > 960
    result = run("--checkpoint", checkpoint, "--out", place / "two", film, film)
    assert result.exit_code == 0, result.output
    assert "Several people: up to 1 more in 1 of the 1 frames" in result.stderr
    document = json.loads((place / "two/two/prediction.json").read_text())
    face = document["windows"][0]["face"]
    assert face["others"] == {"0": 1}
    assert face["taken"]["left_top_right_bottom"][2] < 960
    page = (place / "two/index.html").read_text()
    assert "up to 1 others seen" in page
    assert (place / "two/two-2/prediction.json").is_file()


def test_predict_writes_a_page_a_film_and_json_and_names_what_is_no_video(
    folders, place, checkpoint
):
    out = place / "predictions"
    (place / "letter.txt").write_text("no film")
    (place / "bare").mkdir(exist_ok=True)
    blank = write_pictures(place / "blank.mp4", [np.full((200, 320, 3), 80, np.uint8)] * 16)
    bad = [place / "letter.txt", place / "bare", place / "nowhere.mp4", blank]
    result = run("--checkpoint", checkpoint, "--out", out, *bad, folders[0])
    assert result.exit_code == 6, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("rejected: ")]
    assert len(errors) == 4
    for words in ("letter: unreadable-video", "no image with a number", "is not there", "no-face"):
        assert any(words in line for line in errors), words
    assert "4 of 5 videos gave no answer" in result.stderr
    assert LIMITS[0] in result.stderr

    name = folders[0].name
    document = json.loads((out / name / "prediction.json").read_text())
    assert document["class"] in document["probabilities"]
    assert sum(document["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert LIMITS[0] in document["limits"]
    assert any("spotting" in sentence for sentence in document["limits"])
    assert document["checkpoint"]["synthetic"] is True
    assert len(document["checkpoint"]["tensors_sha256"]) == 64
    (window,) = document["windows"]
    used = {n for clip in window["clips"] for n in clip["source_frames"]}
    assert len(used) == document["frames"]["used"] == sum(window["face"]["frames"].values())
    assert {len(points) for points in window["landmarks"].values()} == {68}
    assert json.loads((out / "blank/prediction.json").read_text())["rejected"]["code"] == "no-face"

    page = (out / "index.html").read_text()
    assert "://" not in page
    assert page.count("data:image/png;base64,") == 4
    assert "data:video/mp4;base64," in page
    assert LIMITS[0] in page and "is not there" in page
    with av.open(str(out / name / "annotated.mp4")) as film:
        pictures = [frame.to_ndarray(format="bgr24") for frame in film.decode(video=0)]
    assert len(pictures) == len(open_video(folders[0]).frames)
    height = pictures[0].shape[0] - 60  # the strip below has two lines
    source = pictures_of(folders[0])[8]
    shown = pictures[8][: source.shape[0]]
    assert height == source.shape[0]
    # Marks are on the face, the rest is the source.
    changed = np.abs(shown.astype(int) - source).max(axis=-1) > 60
    left, top, right, bottom = window["face"]["taken"]["left_top_right_bottom"]
    rows, columns = np.nonzero(changed)
    assert len(rows) > 500
    assert left - 60 < columns.min() and columns.max() < right + 60
    assert top - 90 < rows.min() and rows.max() < bottom + 60


def test_windows_in_json_and_page(long_film, place, checkpoint):
    out = place / "windows"
    arguments = ["--checkpoint", checkpoint, "--out", out, "--window", "16", "--no-film"]
    result = run(*arguments, long_film)
    assert result.exit_code == 0, result.output
    document = json.loads((out / "long/prediction.json").read_text())
    assert document["class"] is None
    assert len(document["windows"]) == 3
    assert all(one["class"] in one["probabilities"] for one in document["windows"])
    assert "windows, each with an answer of its own" in result.stderr
    assert "long: 4 frames are in no clip" in result.stderr  # the last window has 12
    assert "of 3 windows" in result.stdout
    assert not (out / "long/annotated.mp4").exists()
    page = (out / "index.html").read_text()
    for frames in ("0 to 15", "16 to 31", "32 to 43"):
        assert frames in page


def test_what_cannot_be_asked_is_refused(folders, place, checkpoint):
    common = ["--checkpoint", checkpoint, "--out", place / "refused"]
    shards = checkpoint.parents[1] / "shards"
    cases = [
        (3, "moltrain evaluate", [*common, shards]),
        (3, "shorter than a clip of this network, 8 frames", [*common, "--window", 4, folders[0]]),
        (3, "sampling.frames=2 too", [*common, "--set", "sampling.phases=keyframes", folders[0]]),
        (
            3,
            "no annotated onset",
            [
                *(*common, "--set", "sampling.phases=keyframes"),
                *("--set", "sampling.frames=2", folders[0]),
            ],
        ),
        (3, "did you mean detection", [*common, "--set", "detection.no_fac=reject", folders[0]]),
        (
            3,
            "among the frames",
            ["--checkpoint", checkpoint, "--out", folders[0].parent, folders[0]],
        ),
        (7, "no checkpoint there", ["--checkpoint", place / "x", "--out", place / "y", folders[0]]),
        (5, "no landmark model", [*common, "--landmark-model", place / "none.dat", folders[0]]),
    ]
    for code, words, arguments in cases:
        result = run(*arguments)
        assert result.exit_code == code, (words, result.output)
        assert words in result.stderr
    assert not (place / "refused").exists() or not any((place / "refused").rglob("*.json"))


@pytest.mark.parametrize("name", ["av", "cv2", "dlib"])
def test_without_the_preparation_part_it_says_what_to_install(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    result = run("--checkpoint", tmp_path / "x", "--out", tmp_path, tmp_path)
    assert result.exit_code == ConfigError.exit_code
    assert f"{name} of the preparation part" in result.stderr
    assert "pip install '.[prep,train]'" in result.stderr


def test_help_and_training_import_nothing_of_the_preparation_part():
    code = (
        "import sys, mol_model.cli\n"
        "heavy = {'av', 'cv2', 'dlib', 'torch', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import mol_model.runs.run, mol_model.reports.page, mol_model.training.checkpoint\n"
        "heavy = {'av', 'cv2', 'dlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_film_that_was_taken_on_its_side_is_turned_upright(place):
    upright = np.zeros((64, 96, 3), dtype=np.uint8)
    upright[:20, :30] = 255  # light at the top left
    path = write_pictures(place / "side.mp4", [np.rot90(upright).copy()] * 3)
    content = bytearray(path.read_bytes())
    # The matrix of the track header (ISO 14496-12): turn by 90 degrees with the clock.
    at = content.index(b"tkhd") + 4 + 40
    content[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    path.write_bytes(content)
    ((_, grey),) = read_video_frames(path, [1])
    assert grey.shape == (64, 96)
    assert grey[5:15, 5:25].min() > 200
    assert grey[40:, 50:].max() < 60


def test_a_film_that_breaks_off_keeps_the_windows_before(folders, place, monkeypatch):
    frames = pictures_of(folders[0])[:8]
    folder = place / "torn"
    folder.mkdir()
    for number, picture in enumerate([*frames, *frames, *frames]):
        cv2.imwrite(str(folder / f"img{number}.png"), picture)
    (folder / "img12.png").write_bytes(b"no image")
    first, second, third = windows_of(folder, 8)
    assert first.source_frames.tolist() == [list(range(8))]
    assert second.code == third.code == "unreadable-frame"
    assert "img12.png" in second.message and "not reached" in third.message
    longer = BuildConfig(sampling=SamplingConfig(frames=32))
    with pytest.raises(Rejection, match="24 frames, a clip needs 32"):
        windows_of(folder, None, longer)


def test_arrows_are_magnified_to_be_seen_and_stay_on_the_face():
    points = np.stack(np.meshgrid([100.0, 200.0], [100.0, 220.0]), -1).reshape(-1, 2)
    grid = np.stack(np.meshgrid(np.arange(0, 300, 20), np.arange(0, 300, 20)), -1).reshape(-1, 2)
    one = FrameMarks(
        dlib=points, arrow_starts=grid, arrows=np.full((len(grid), 2), 0.5), captions=["a", "b"]
    )
    starts, arrows = one.inner_arrows()
    assert starts.min() >= 76 and starts.max() < 240
    assert 0 < len(arrows) < len(grid)
    magnification, peak = arrow_scale([one])
    assert (magnification, peak) == (20, pytest.approx(np.hypot(0.5, 0.5)))
    picture = np.zeros((301, 299, 3), dtype=np.uint8)
    drawn = draw_marks(picture, one, magnification, peak)
    assert all(side % 2 == 0 for side in drawn.shape[:2])
    assert not picture.any()
    assert drawn[: drawn.shape[0] - 60].any()


@pytest.mark.parametrize("head", ["expression", "flow", "landmarks"])
def test_a_network_without_a_head_says_what_it_can(folders, place, checkpoint, head):
    record = read_record(checkpoint)
    config = record.config.model.model_copy(update={f"use_{head}": False, "frames": 4})
    changed = record.config.model_copy(update={"model": config})
    path = place / f"no-{head}"
    save_checkpoint(path, record.model_copy(update={"config": changed}), build_network(config))
    out = place / f"without-{head}"
    result = run("--checkpoint", path, "--out", out, folders[0])
    assert result.exit_code == 0, result.output
    document = json.loads((out / folders[0].name / "prediction.json").read_text())
    (window,) = document["windows"]
    assert {len(clip["source_frames"]) for clip in window["clips"]} == {4}
    assert (document["class"] is None) == (head == "expression")
    assert (window["clips"][0]["mean_motion_px"] is None) == (head == "flow")
    assert (window["landmarks"] == {}) == (head == "landmarks")
    written = {file.name for file in (out / folders[0].name).iterdir()}
    assert ("warp.png" in written) == ("flow.png" in written) == (head != "flow")
    assert ("landmarks.png" in written) == (head != "landmarks")
    assert "annotated.mp4" in written
    page = (out / "index.html").read_text()
    assert ("no expression head" in page) == (head == "expression")


def test_every_video_is_looked_at_with_the_same_checkpoint(folders, place, checkpoint):
    told = []
    options = PredictOptions(out=place / "library", film=False)
    results, identity = predict_videos(
        [folders[0], folders[1]], checkpoint, options, CPU, on_result=told.append
    )
    assert told == results
    assert [one.rejected for one in results] == [None, None]
    assert identity.config.sampling.frames == 8
    documents = [one.document for one in results]
    assert documents[0]["checkpoint"] == documents[1]["checkpoint"]
    assert documents[0]["probabilities"] != documents[1]["probabilities"]


def test_a_checkpoint_remembers_how_its_shards_were_prepared(place, checkpoint):
    record = read_record(checkpoint)
    assert record.preparation == {"sampling": {"frames": 8}}  # of the manifest it was trained on
    network = build_network(record.config.model)

    def prepared(*overrides, **preparation):
        path = place / "remembering"
        remembered = record.model_copy(update={"preparation": preparation or None})
        save_checkpoint(path, remembered, network)
        return load_preparation(path, None, overrides)

    # One of an earlier version does not say: then it was each frame by its own landmarks.
    assert prepared().alignment.reference == "frame"
    assert prepared(sampling={"frames": 8}).alignment.reference == "frame"
    for reference in ("frame", "video", "registered"):
        assert prepared(alignment={"reference": reference}).alignment.reference == reference
    chosen = prepared("alignment.reference=frame", alignment={"reference": "video"})
    assert chosen.alignment.reference == "frame"
    built = BuildConfig(detection=DetectionConfig(detect_every=3, no_face="track"))
    assert prepared(**built.document) == built
    pairs = prepared(sampling={"frames": 2, "phases": "keyframes"})
    assert pairs.sampling == SamplingConfig(frames=2)


def test_the_page_and_the_document_say_the_checkpoints_alignment(folders, place, checkpoint):
    path = place / "by-video"
    record = read_record(checkpoint)
    by_video = {"alignment": {"reference": "video"}}
    save_checkpoint(
        path,
        record.model_copy(update={"preparation": by_video}),
        build_network(record.config.model),
    )
    options = PredictOptions(out=place / "by-video-out", film=False)
    _, identity = predict_videos([folders[0]], path, options, CPU)
    assert identity.document()["preparation"]["alignment"] == {"reference": "video"}
