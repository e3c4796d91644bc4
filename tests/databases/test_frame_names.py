"""Frames are numbered by the part of their names that counts, or the names are refused."""

import random
import tracemalloc
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_pipeline.databases.files import list_series
from mol_pipeline.databases.frame_names import number_frames
from tests.sources import CASES

COUNT = 12


def clock(ms, pattern):
    seconds, rest = divmod(ms, 1000)
    hour, minute, second = 12 + seconds // 3600, 30 + seconds // 60 % 60, seconds % 60
    return pattern.format(h=hour, m=minute, s=second, ms=rest, us=1000 * rest, cs=rest // 10)


SCHEMES = {
    "plain": lambda k: f"{k}",
    "padded": lambda k: f"img{k:05d}",
    "partly padded": lambda k: f"img{k:02d}" if k < 10 else f"img{k}",
    "from ninety": lambda k: f"reg_img{k + 95}",
    "constant last": lambda k: f"{k + 1:04d}_s12",
    "constant first": lambda k: f"006_{k + 5562:05d}",
    "in brackets": lambda k: f"img ({k + 1})",
    "camera, one": lambda k: f"cam1-{k:04d}",
    "milliseconds": lambda k: f"{40 * k:06d}",
    "microseconds": lambda k: f"f{40_000 * k:012d}",
    "nanoseconds since 1970": lambda k: f"{1_700_000_000_000_000_000 + 40_000_000 * k}",
    "milliseconds since 1970": lambda k: f"{1_700_000_000_000 + 40 * k}",
    "seconds with decimals": lambda k: f"1403636579.{763_555_584 + 40_000_000 * k // 10}",
    "seconds, two numbers": lambda k: f"1403636579_{100_000_000 + 40_000_000 * k:09d}",
    "negative": lambda k: f"t{40 * (k - 5):+05d}".replace("+", ""),
    "sixteen": lambda k: f"frame_{k + 5:02x}",
    "clock, milliseconds": lambda k: clock(120 * k, "{h:02d}-{m:02d}-{s:02d}-{ms:03d}"),
    "clock with dots": lambda k: clock(120 * k, "{h:02d}.{m:02d}.{s:02d}.{ms:03d}"),
    "minutes": lambda k: clock(120 * k, "{m:02d}-{s:02d}-{ms:03d}"),
    "date and time": lambda k: clock(120 * k, "2024-05-01_{h:02d}-{m:02d}-{s:02d}.{ms:03d}"),
    "telephone": lambda k: clock(120 * k, "IMG_20240501_{h:02d}{m:02d}{s:02d}_{ms:03d}"),
    "telephone, in one": lambda k: clock(120 * k, "20240501{h:02d}{m:02d}{s:02d}{ms:03d}"),
    "iso": lambda k: clock(120 * k, "2024-05-01T{h:02d}-{m:02d}-{s:02d}-{us:06d}Z"),
    "number and time": lambda k: f"frame_{k:04d}_t{40 * k:06d}",
}
SUFFIXES = (".jpg", ".JPG", ".png", ".bmp", ".tif", ".tiff", ".jpeg")


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99), suffixes=st.lists(st.sampled_from(SUFFIXES), min_size=1))
def test_any_scheme_and_any_order_gives_the_frames_in_their_order(scheme, seed, suffixes):
    suffix = random.Random(seed)
    names = [f"{SCHEMES[scheme](k)}{suffix.choice(suffixes)}" for k in range(COUNT)]
    shuffled = list(names)
    suffix.shuffle(shuffled)
    series = number_frames(shuffled)
    assert not series.problem
    assert [name for _, name in series.frames] == names
    numbers = [number for number, _ in series.frames]
    assert numbers == sorted(set(numbers))
    assert -(2**31) <= numbers[0] <= numbers[-1] < 2**31
    if series.seconds:
        steps = {b - a for a, b in zip(series.seconds, series.seconds[1:], strict=False)}
        assert len(steps) == 1


def test_numbers_are_those_of_the_names_where_they_are_numbers():
    series = number_frames([f"006_{k:05d}.jpg" for k in (9, 10, 12)])
    assert [number for number, _ in series.frames] == [9, 10, 12]
    assert not series.seconds
    assert not series.remarks


def test_steps_of_clock_times_are_kept():
    series = number_frames(["00-00-00-960.jpg", "00-00-01-000.jpg", "00-00-01-160.jpg"])
    assert series.seconds == (0, Fraction(1, 25), Fraction(1, 5))
    assert series.written["00-00-01-160"] == 2
    assert any("clock" in one for one in series.remarks)


def test_times_over_midnight_are_one_film_and_it_is_said():
    series = number_frames([f"23-59-59-{k:03d}.png" for k in (800, 900)] + ["00-00-00-000.png"])
    assert [name for _, name in series.frames][-1] == "00-00-00-000.png"
    assert any("midnight" in one for one in series.remarks)


def test_time_codes_are_ordered_whatever_their_last_part():
    names = [f"10-00-0{k // 25}-{k % 25:02d}.jpg" for k in range(60)]
    series = number_frames(names[::-1])
    assert [name for _, name in series.frames] == names
    assert any("25 frames a second" in one for one in series.remarks)


@pytest.mark.parametrize(
    "names",
    [
        [f"{side}_{k:04d}.png" for side in ("left", "right") for k in range(8)],
        [f"cam{camera}_{k:04d}.png" for camera in (1, 2) for k in range(8)],
        [f"{k:04d}_cam{camera}.png" for camera in (1, 2) for k in range(8)],
        [f"cam{1 + k % 2}_{k:04d}.png" for k in range(16)],
        [f"take{take}-{k}.png" for take in (1, 2, 3) for k in range(8)],
    ],
)
def test_two_series_are_a_problem_that_names_both(names):
    series = number_frames(names)
    assert "series of frames" in series.problem
    assert sum(name in series.problem for name in names) == 2


def test_files_that_share_a_number_are_a_problem_that_names_both():
    for names in (["img1.jpg", "img001.jpg", "img2.jpg"], ["img1.jpg", "img1.png", "img2.jpg"]):
        series = number_frames(names)
        assert (
            series.problem
            == f"{sorted(names)[0]} and {sorted(names)[1]} share the number 1; keep one of them"
        )


def test_a_contact_sheet_is_left_out_by_name():
    names = [f"img{k}.jpg" for k in range(9)]
    for other in ("contact_sheet_1.jpg", "overview.jpg", "img0 (1).jpg"):
        series = number_frames([*names, other])
        assert [name for _, name in series.frames] == names
        assert not series.problem
        assert other in series.left_out[0]


def test_nanoseconds_cost_no_memory():
    names = [f"{10**18 + 40_000_123 * k}.png" for k in range(200)]
    tracemalloc.start()
    series = number_frames(names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [number for number, _ in series.frames] == list(range(200))
    assert peak < 2_000_000


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.text("a1_-.0(", min_size=1, max_size=8), max_size=8, unique=True))
def test_any_names_are_numbered_or_a_problem(stems):
    series = number_frames([f"{stem}.png" for stem in stems])
    numbers = [number for number, _ in series.frames]
    assert numbers == sorted(set(numbers))
    assert len(series.frames) <= len(stems)


@pytest.mark.skipif(not CASES.is_dir(), reason="no small inputs beside the project")
def test_the_reported_folders():
    times = list_series(CASES / "time_ms")
    assert [name for _, name in times.frames] == sorted(
        p.name for p in (CASES / "time_ms").iterdir()
    )
    assert {b - a for a, b in zip(times.seconds, times.seconds[1:], strict=False)} == {
        Fraction(1, 25)
    }
    constant = list_series(CASES / "number_last_constant")
    assert [number for number, _ in constant.frames] == list(range(1, 13))
