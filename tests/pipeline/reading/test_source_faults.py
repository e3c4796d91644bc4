"""Disks that stumble: what may pass is waited for, what the file itself says is an outcome."""

import errno
import os
import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.reading import frames, source_faults
from mol_pipeline.reading.source_faults import (
    PAUSES_S,
    SourceFault,
    decode_patiently,
    read_patiently,
)
from mol_pipeline.stages.video import Rejection, read_frames
from tests.fakes import FakeClip, write_samm_tree

READ_IMAGE = frames.read_image
OF_THE_WORLD = ("ESTALE", "EIO", "ETIMEDOUT", "ENOMEM", "EMFILE", "EACCES", "ENOENT", "EPERM")


def refusal(name):
    number = getattr(errno, name)
    return OSError(number, os.strerror(number))


class Stumbling:
    """Refuses so many calls of a function, then lets them through."""

    def __init__(self, work, errors):
        self.work = work
        self.errors = list(errors)

    def __call__(self, *arguments, **keywords):
        if self.errors:
            raise self.errors.pop(0)
        return self.work(*arguments, **keywords)


@pytest.fixture
def pauses(monkeypatch):
    """Seconds that were waited, without waiting."""
    waited = []
    monkeypatch.setattr(source_faults.time, "sleep", waited.append)
    return waited


@pytest.fixture
def video(tmp_path):
    """A folder of three frames."""
    write_samm_tree(tmp_path, [FakeClip("006_1_1", 1, 2, 3)], real_faces=True)
    folder = "SAMM/006/006_1_1"
    names = sorted(path.name for path in (tmp_path / folder).iterdir())
    return SourceVideo(
        database="samm",
        subject="006",
        person="006",
        clip="006_1_1",
        raw_label="Anger",
        key_frames=KeyFrames(),
        folder=folder,
        frames=tuple(enumerate(names, start=1)),
    )


@pytest.mark.parametrize("name", OF_THE_WORLD)
def test_a_frame_that_cannot_be_reached_for_a_moment_is_read(
    video, tmp_path, pauses, monkeypatch, name
):
    quiet = [grey for _, grey in read_frames(video, tmp_path, range(3))]
    stumbling = Stumbling(frames.read_image, [refusal(name)] * len(PAUSES_S))
    monkeypatch.setattr("mol_pipeline.stages.footage.read_image", stumbling)
    found = [grey for _, grey in read_frames(video, tmp_path, range(3))]
    np.testing.assert_array_equal(found, quiet)
    assert pauses == list(PAUSES_S)


@pytest.mark.parametrize("name", OF_THE_WORLD)
def test_a_frame_that_stays_out_of_reach_is_no_rejection(
    video, tmp_path, pauses, monkeypatch, name
):
    stumbling = Stumbling(frames.read_image, [refusal(name)] * 99)
    monkeypatch.setattr("mol_pipeline.stages.footage.read_image", stumbling)
    with pytest.raises(SourceFault) as caught:
        list(read_frames(video, tmp_path, range(3)))
    fault = pickle.loads(pickle.dumps(caught.value))
    assert fault.errno == getattr(errno, name)
    assert fault.filename == f"{video.folder}/{video.frames[0][1]}"
    assert name in str(fault) and str(tmp_path) not in str(fault)


def test_a_frame_that_the_index_saw_and_is_gone_is_no_rejection(video, tmp_path, pauses):
    (tmp_path / video.folder / video.frames[1][1]).unlink()
    with pytest.raises(SourceFault, match="ENOENT"):
        list(read_frames(video, tmp_path, range(3)))
    assert pauses == list(PAUSES_S)


def test_a_file_that_is_no_image_is_refused_at_once(video, tmp_path, pauses):
    (tmp_path / video.folder / video.frames[1][1]).write_bytes(b"no image")
    with pytest.raises(Rejection) as caught:
        list(read_frames(video, tmp_path, range(3)))
    assert caught.value.code == "unreadable-frame"
    assert not pauses


def test_the_bits_of_deep_images_do_not_depend_on_a_disk_that_stumbles(
    video, tmp_path, pauses, monkeypatch
):
    """All images of a video say which of 16 bits are in use, those that are not sampled too."""
    brightest = 0
    for _, name in video.frames:
        path = tmp_path / video.folder / name
        brightest = 3 * brightest + 1000
        deep = np.full((8, 8), brightest, dtype=np.uint16)
        path.write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    quiet = [grey for _, grey in read_frames(video, tmp_path, [0])]
    for passed in range(4):
        reads = iter(range(99))

        def reading(path, passed=passed, reads=reads, **keywords):
            if next(reads) == passed:
                raise refusal("ESTALE")
            return READ_IMAGE(path, **keywords)

        monkeypatch.setattr("mol_pipeline.stages.footage.read_image", reading)
        found = [grey for _, grey in read_frames(video, tmp_path, [0])]
        np.testing.assert_array_equal(found, quiet)


def write_film(path: Path, count: int = 12):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.gop_size = 4
        rng = np.random.default_rng(0)
        for _ in range(count):
            picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def film(video, tmp_path):
    """A film of twelve frames."""
    write_film(tmp_path / "film.mp4")
    return replace(video, folder="film.mp4", frames=tuple((n, "") for n in range(12)))


def stumbling_film(monkeypatch, stops):
    """Let the decoder fail after so many frames, once for each entry of `stops`."""
    decode = frames.read_video_frames

    def reading(path, numbers, *further):
        stop = stops.pop(0) if stops else None
        for count, one in enumerate(decode(path, numbers, *further)):
            if count == stop:
                raise refusal("EIO")
            yield one

    monkeypatch.setattr("mol_pipeline.stages.footage.read_video_frames", reading)


@pytest.mark.parametrize("stops", [[0], [5], [0, None], [11], [3]])
def test_a_film_goes_on_where_it_could_not_be_read(film, tmp_path, pauses, monkeypatch, stops):
    quiet = list(read_frames(film, tmp_path, range(12)))
    stumbling_film(monkeypatch, list(stops))
    found = list(read_frames(film, tmp_path, range(12)))
    assert [position for position, _ in found] == list(range(12))
    for (_, one), (_, other) in zip(found, quiet, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_film_whose_bytes_can_be_read_is_at_fault_itself(film, tmp_path, pauses, monkeypatch):
    stumbling_film(monkeypatch, [5] * 99)
    with pytest.raises(Rejection, match="Input/output error") as caught:
        list(read_frames(film, tmp_path, range(12)))
    assert caught.value.code == "unreadable-frame"
    assert not pauses


def test_a_film_whose_bytes_cannot_be_read_is_not(film, tmp_path, pauses, monkeypatch):
    """The decoder calls a disk that fails the end of the file."""
    monkeypatch.setattr(source_faults, "_read_to_end", Stumbling(None, [refusal("EIO")] * 99))
    path = tmp_path / film.folder
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceFault, match=r"film\.mp4.*EIO"):
        list(read_frames(film, tmp_path, range(12)))
    assert pauses == list(PAUSES_S)


def test_a_film_that_is_gone_is_not(film, tmp_path, pauses):
    (tmp_path / film.folder).unlink()
    with pytest.raises(SourceFault, match="ENOENT"):
        list(read_frames(film, tmp_path, range(12)))


def test_a_film_cut_short_is_at_fault(film, tmp_path, pauses):
    path = tmp_path / film.folder
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Rejection):
        list(read_frames(film, tmp_path, range(12)))


@given(errors=st.lists(st.sampled_from(OF_THE_WORLD), max_size=6))
def test_any_row_of_refusals_shorter_than_the_pauses_passes(errors):
    waited = []
    read = Stumbling(lambda: "read", [refusal(name) for name in errors])
    if len(errors) <= len(PAUSES_S):
        assert read_patiently(read, "x", sleep=waited.append) == "read"
        assert waited == list(PAUSES_S[: len(errors)])
    else:
        with pytest.raises(SourceFault) as caught:
            read_patiently(read, "x", sleep=waited.append)
        assert caught.value.errno == getattr(errno, errors[len(PAUSES_S)])


@given(stops=st.lists(st.integers(0, 8), max_size=8), numbers=st.sets(st.integers(0, 50)))
def test_frames_come_once_and_in_order_or_not_at_all(tmp_path_factory, stops, numbers):
    """Whatever fails in between: no frame is lost or given twice."""
    wanted, left = sorted(numbers), list(stops)
    place = tmp_path_factory.getbasetemp() / "film"
    place.write_bytes(b"film")

    def decode(asked):
        stop = left.pop(0) if left else None
        for count, number in enumerate(asked):
            if count == stop:
                raise ValueError("damaged here")
            yield number, number * 2

    got = []
    try:
        got.extend(decode_patiently(decode, wanted, place, "film"))
    except ValueError:
        assert len(stops) >= 2
        assert got == [(n, n * 2) for n in wanted][: len(got)]
    else:
        assert got == [(n, n * 2) for n in wanted]
