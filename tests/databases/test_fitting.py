"""Frames by number or in order: never the wrong ones, whatever a copy did to the numbers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.databases.fitting import FEW, Misfit, fit

INTERVALS = st.tuples(st.integers(0, 300), st.integers(2, 120)).map(
    lambda pair: (pair[0], pair[0] + pair[1] - 1)
)


def annotated(onset, offset):
    return KeyFrames(
        onset=onset,
        apex=(onset + offset) // 2,
        offset=offset,
        onset_source="annotated",
        apex_source="annotated",
        offset_source="annotated",
    )


def folder(true_numbers, start):
    """Files of a folder: (number in the name, frame of the recording that the file shows)."""
    low = min(true_numbers)
    return [
        (n if start is None else n - low + start, f"shows {n}.jpg") for n in sorted(true_numbers)
    ]


def shown(frames):
    return [int(name.removeprefix("shows ").removesuffix(".jpg")) for _, name in frames]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    interval=INTERVALS,
    start=st.sampled_from([None, 0, 1]),
    lost=st.sets(st.integers(0, 400), max_size=2),
    around=st.integers(0, FEW),
)
def test_what_is_taken_belongs_to_the_interval(interval, start, lost, around):
    """A trimmed copy, its frames renumbered or not, a few lost or added: right, or refused."""
    onset, offset = interval
    held = set(range(onset, offset + around + 1)) - {onset + one for one in lost if one > 0}
    present = folder(held, start)

    try:
        taken = fit(present, annotated(onset, offset), "auto")
    except Misfit:
        refused = True
    else:
        refused = False
    if refused:
        assert start is not None and start != onset  # a copy with its own numbers is taken
        return

    right = [n for n in sorted(held) if onset <= n <= offset]
    assert shown(taken.frames) == right or abs(onset - (start or 0)) <= FEW


@settings(max_examples=300, deadline=None, derandomize=True)
@given(interval=INTERVALS, before=st.integers(3, 200), after=st.integers(3, 200))
def test_a_whole_recording_is_cut_by_its_numbers(interval, before, after):
    onset, offset = interval
    first = max(0, onset - before)
    present = folder(range(first, offset + after + 1), None)
    taken = fit(present, annotated(onset, offset), "auto", anew=True)
    assert shown(taken.frames) == list(range(onset, offset + 1))
    assert not taken.renumbered


@settings(max_examples=300, deadline=None, derandomize=True)
@given(interval=INTERVALS, start=st.sampled_from([0, 1]))
def test_a_copy_that_is_numbered_anew_is_taken_in_order_when_that_is_known(interval, start):
    onset, offset = interval
    present = folder(range(onset, offset + 1), start)
    for taken in (
        fit(present, annotated(onset, offset), "anew"),
        fit(present, annotated(onset, offset), "auto", anew=True),
    ):
        assert shown(taken.frames) == list(range(onset, offset + 1))
        frames = taken.key_frames
        by_number = dict(taken.frames)
        assert by_number[frames.onset] == f"shows {onset}.jpg"
        assert by_number[frames.apex] == f"shows {(onset + offset) // 2}.jpg"
        assert by_number[frames.offset] == f"shows {offset}.jpg"
        assert taken.absent == 0


@pytest.mark.parametrize(
    ("numbers", "present", "code"),
    [
        ("auto", range(1, 42), "renumbered"),  # 20..60, as many, from 1
        ("auto", range(1, 41), "renumbered"),  # the last one lost
        ("auto", range(1, 21), "frames-do-not-fit"),  # neither, and hardly any of 20..60
        ("auto", range(100, 142), "no-frames"),
        ("named", range(1, 10), "no-frames"),
    ],
)
def test_frames_that_are_not_taken_say_why(numbers, present, code):
    with pytest.raises(Misfit) as caught:
        fit([(n, f"{n}.jpg") for n in present], annotated(20, 60), numbers)
    assert caught.value.code == code


def test_both_readings_a_little_wrong_are_a_question():
    present = [(n, f"{n}.jpg") for n in range(1, 41)]
    with pytest.raises(Misfit, match="--numbers named' or '--numbers anew") as caught:
        fit(present, annotated(2, 42), "auto", anew=True)
    assert caught.value.code == "ambiguous-numbers"
    assert fit(present, annotated(2, 42), "named").frames[0] == (2, "2.jpg")
    anew = fit(present, annotated(2, 42), "anew")
    assert anew.frames[0] == (1, "1.jpg")
    assert "offset 41 cut to the last frame 40" in anew.renumbered
