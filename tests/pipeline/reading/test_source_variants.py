"""The same film in any disguise gives the same clips within a tolerance, or a named refusal.

All disguises one after the other: `MOL_TEST_VARIANTS=1`; in between, some that chance takes.
"""

import csv
import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mol_pipeline.config import BuildConfig, ReadingConfig, SamplingConfig
from mol_pipeline.databases.adapters.custom import Custom
from mol_pipeline.databases.index_report import index_text
from mol_pipeline.stages.footage import Footage
from mol_pipeline.stages.video import choose_clips
from tests.databases.test_frame_names import SCHEMES
from tests.sources import COUNT, FILMS, FilmVariant, FolderVariant, pictures, write_film

ALL = bool(os.environ.get("MOL_TEST_VARIANTS"))
CONFIG = BuildConfig(sampling=SamplingConfig(frames=8))
QUICK = settings(
    max_examples=150 if ALL else 10,
    deadline=None,
    derandomize=not ALL,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def index_of(root: Path, path: str):
    with (root / "own.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "subject", "label"], [path, "a", "x"]])
    return Custom().index(root)


def clips_of(root: Path, path: str):
    """(Positions, grey frames `[clips, 8, height, width]`) of the only video below a root."""
    index = index_of(root, path)
    (video,) = index.videos
    clips = choose_clips(video, CONFIG)
    footage = Footage(video, root, ReadingConfig())
    used = sorted({int(k) for clip in clips for k in clip})
    frames = dict(footage.whole(footage.frames(used)))
    return video, clips, [[frames[int(k)] for k in clip] for clip in clips], footage.remarks


def assert_the_same(root: Path, path: str, tolerance: float):
    video, clips, frames, remarks = clips_of(root, path)
    expected = pictures()
    assert len(video.frames) == COUNT
    assert [clip.tolist() for clip in clips] == [list(range(j, COUNT, 3)) for j in range(3)]
    for clip, shown in zip(clips, frames, strict=True):
        for k, grey in zip(clip, shown, strict=True):
            assert grey.shape == expected[k].shape
            assert np.abs(grey.astype(int) - expected[k]).mean() <= tolerance, (path, k)
    return video, remarks


def check_film(variant: FilmVariant, root: Path):
    path = variant.write(root / "film")
    video, _ = assert_the_same(root, path.name, variant.tolerance)
    assert video.rate is None or abs(video.rate - variant.rate) < 0.01 * variant.rate
    said = " ".join(video.remarks)
    assert ("made square" in said) == (variant.aspect != 1)
    assert ("turned by" in said or "mirrored" in said) == bool(variant.turn or variant.mirrored)
    assert ("brought to 8" in said) == ("10le" in variant.pixels or "16le" in variant.pixels)


@QUICK
@given(name=st.sampled_from(sorted(FILMS)))
def test_any_film_gives_the_same_clips(tmp_path_factory, name):
    check_film(FILMS[name], tmp_path_factory.mktemp("film"))


@pytest.mark.skipif(not ALL, reason="every disguise: set MOL_TEST_VARIANTS=1")
@pytest.mark.parametrize("name", sorted(FILMS))
def test_every_film_gives_the_same_clips(tmp_path, name):
    check_film(FILMS[name], tmp_path)


SUFFIXES = st.lists(
    st.sampled_from([".png", ".bmp", ".tif", ".tiff", ".pgm", ".PNG"]), min_size=1, max_size=3
)


@QUICK
@given(
    scheme=st.sampled_from(sorted(SCHEMES)),
    suffixes=SUFFIXES | st.just([".jpg", ".jpeg"]),
    shift=st.none() | st.sampled_from([0, 2, 4, 6, 8]),
    seed=st.integers(0, 9),
    extra=st.sampled_from(["", "contact_sheet_1.png", "overview.jpg"]),
)
def test_any_folder_gives_the_same_clips(tmp_path_factory, scheme, suffixes, shift, seed, extra):
    # Letters prove a number only where nothing else lies beside it: else a named refusal.
    extra = "" if scheme == "sixteen" else extra
    root = tmp_path_factory.mktemp("folder")
    variant = FolderVariant(SCHEMES[scheme], tuple(suffixes), shift, seed, extra)
    variant.write(root / "frames")
    video, remarks = assert_the_same(root, "frames", variant.tolerance)
    assert not video.missing
    deep = shift is not None and {".png", ".tif", ".tiff", ".pgm", ".PNG"} & set(suffixes)
    assert any("16 bits are in use" in one for one in remarks) <= bool(deep)
    assert (
        not extra
        or any(extra in one for one in video.remarks)
        or not any(map(str.isdecimal, extra))
    )


def test_twelve_bits_keep_their_grey_levels_over_the_whole_video(tmp_path):
    # One bright frame that is not sampled tells the depth of all.
    drawn = [(picture.astype(np.uint16) // 8) << 4 for picture in pictures()]
    drawn[1] = pictures()[1].astype(np.uint16) << 4
    (tmp_path / "f").mkdir()
    for k, picture in enumerate(drawn):
        cv2.imwrite(str(tmp_path / "f" / f"{k}.png"), picture)
    config = BuildConfig(sampling=SamplingConfig(frames=2, phases="centre"))
    index = index_of(tmp_path, "f")
    (video,) = index.videos
    footage = Footage(video, tmp_path, ReadingConfig())
    used = [int(k) for k in choose_clips(video, config)[0]]
    assert 1 not in used
    for k, grey in footage.frames(used):
        np.testing.assert_array_equal(grey, drawn[k] >> 4)
    assert footage.remarks == ("12 of 16 bits are in use; all frames brought to 8 alike",)
    assert "images of 16 bits: brought to 8" in index_text(index.document())


def test_unequal_steps_are_sampled_evenly_in_time_and_kept(tmp_path):
    stamps = [40 * k if k < 16 else 600 + 160 * (k - 15) for k in range(COUNT)]
    write_film(tmp_path / "film.mp4", pictures(), stamps=stamps)
    index = index_of(tmp_path, "film.mp4")
    (video,) = index.videos
    assert video.times == tuple(stamp / 1000 for stamp in stamps)
    assert "its time steps vary, 40 to 160 ms: sampled evenly in time" in video.remarks
    assert "sampled evenly in time: 1 (a/film)" in index_text(index.document())
    clips = choose_clips(video, CONFIG)
    assert clips
    even = stamps[-1] * 3 / (COUNT - 1)
    for clip in clips:
        steps = np.diff([stamps[k] for k in clip])
        assert np.abs(steps - even).max() <= 160


def test_a_pause_that_is_too_long_is_refused_by_name(tmp_path):
    stamps = [40 * k for k in range(12)] + [60_000 + 40 * k for k in range(12)]
    write_film(tmp_path / "film.mp4", pictures(), stamps=stamps)
    (video,) = index_of(tmp_path, "film.mp4").videos
    with pytest.raises(Exception, match="too few in places for 8 frames evenly in time"):
        choose_clips(video, CONFIG)


def test_names_that_are_times_are_sampled_evenly_too(tmp_path):
    stamps = [40 * k if k < 16 else 600 + 160 * (k - 15) for k in range(COUNT)]
    (tmp_path / "f").mkdir()
    for stamp in stamps:
        (tmp_path / "f" / f"{stamp:06d}.png").touch()
    (video,) = index_of(tmp_path, "f").videos
    assert video.times == tuple(stamp / 1000 for stamp in stamps)
    assert [number for number, _ in video.frames] == stamps


def test_a_trimmed_film_has_the_frames_that_are_shown(tmp_path):
    path = write_film(tmp_path / "film.mp4", pictures(), options={"g": "12", "bf": "2"})
    content = path.read_bytes()
    at = content.index(b"elst")
    # The edit list's only entry: length in 1/1000 s, start in units of the track.
    scale = int.from_bytes(content[content.index(b"mdhd") + 16 :][:4], "big")
    with av.open(str(path)) as container:
        start = container.streams.video[0].start_time
    entry = (400).to_bytes(4, "big") + (start + scale * 8 // 25).to_bytes(4, "big")
    path.write_bytes(content[: at + 12] + entry + content[at + 20 :])
    (video,) = index_of(tmp_path, "film.mp4").videos
    assert 9 <= len(video.frames) <= 16
    assert any("edit list leaves out" in one for one in video.remarks)
    footage = Footage(video, tmp_path, ReadingConfig())
    shown = dict(footage.whole(footage.frames(range(len(video.frames)))))
    errors = [np.abs(shown[0].astype(int) - one).mean() for one in pictures()]
    first = int(np.argmin(errors))
    for k, grey in shown.items():
        assert np.abs(grey.astype(int) - pictures()[first + k]).mean() < 4


def test_a_film_with_a_cover_and_a_second_film_says_what_it_leaves_out(tmp_path):
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        cover = container.add_stream("mjpeg", rate=25)
        films = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in (cover, *films):
            stream.height, stream.width = pictures()[0].shape
            stream.pix_fmt = "yuvj420p" if stream is cover else "yuv420p"
        frame = av.VideoFrame.from_ndarray(255 - pictures()[0], format="gray")
        container.mux(cover.encode(frame))
        for k, picture in enumerate(pictures()):
            for which, stream in enumerate(films):
                if which and k % 2:
                    continue
                frame = av.VideoFrame.from_ndarray(picture, format="gray")
                frame.pts, frame.time_base = k, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in (cover, *films):
            container.mux(stream.encode())
    video, _ = assert_the_same(tmp_path, "film.mkv", 4.0)
    said = " ".join(video.remarks)
    assert "stream 0 is a cover picture; left out" in said
    assert "stream 2, of 12 frames, is left out" in said


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.txt", b"hello\n" * 90, "is not a"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm.mp4\n", "is not a"),
        ("join.ffconcat", b"ffconcat version 1.0\nfile film.mp4\n", "is not a"),
        ("empty.mp4", b"", "is not a"),
    ],
)
def test_what_is_no_film_is_refused_by_what_it_is(tmp_path, name, content, words):
    write_film(tmp_path / "film.mp4", pictures())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Exception, match=words):
        index_of(tmp_path, name)


def test_a_film_with_sound_only_and_an_image_are_refused_plainly(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(Exception, match=r"sound\.mp4: holds no video stream, only audio"):
        index_of(tmp_path, "sound.mp4")
    cv2.imwrite(str(tmp_path / "one.png"), pictures()[0])
    with pytest.raises(Exception, match=r"one\.png: is not a film but"):
        index_of(tmp_path, "one.png")


def test_one_of_two_cameras_is_named(tmp_path):
    (tmp_path / "f").mkdir()
    for side, drawn in (("left", pictures()), ("right", pictures()[::-1])):
        for k, picture in enumerate(drawn):
            cv2.imwrite(str(tmp_path / "f" / f"{side}_{k:03d}.png"), picture)
    with pytest.raises(Exception, match=r"two series of frames, left_000\.png .* right_000\.png"):
        index_of(tmp_path, "f")
    video, _ = assert_the_same(tmp_path, "f/left_*", 0.0)
    assert video.clip == "f-left"
    assert video.folder == "f"


def test_key_frames_may_be_written_as_the_names_are(tmp_path):
    (tmp_path / "f").mkdir()
    for k in range(COUNT):
        (tmp_path / "f" / f"{SCHEMES['clock, milliseconds'](k)}.png").touch()
    rows = [["path", "subject", "label", "onset", "offset"]]
    rows += [["f", "a", "x", SCHEMES["clock, milliseconds"](5), "17"]]
    with (tmp_path / "own.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (video,) = Custom().index(tmp_path).videos
    assert (video.key_frames.onset, video.key_frames.offset) == (5, 17)
    assert len(video.frames) == 13


def test_a_film_that_breaks_off_says_what_its_header_announced(tmp_path):
    path = write_film(tmp_path / "film.mkv", pictures() * 3, options={"g": "4"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    (video,) = index_of(tmp_path, "film.mkv").videos
    assert len(video.frames) < 60
    assert any("its header announces 2.88 s" in one for one in video.remarks)


def test_one_lost_frame_is_said_and_counts_as_equal(tmp_path):
    stamps = [40 * k + 40 * (k > 12) for k in range(COUNT)]
    write_film(tmp_path / "film.mp4", pictures(), stamps=stamps)
    (video,) = index_of(tmp_path, "film.mp4").videos
    assert video.times == ()
    assert any("40 to 80 ms, are equal to within half a step" in one for one in video.remarks)


def test_grey_of_limited_range_is_stretched(tmp_path):
    limited = [(16 + one.astype(float) * 219 / 255).round().astype(np.uint8) for one in pictures()]
    write_film(tmp_path / "film.mkv", limited, codec="ffv1", pixels="gray", limited=True)
    video, _ = assert_the_same(tmp_path, "film.mkv", 0.6)
    assert "grey of limited range stretched to the full one" in video.remarks
