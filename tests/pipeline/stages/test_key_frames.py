"""The record of key frames: which frames it takes, what it says of them, what is stored."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.contract.shard_layout import KEY_ARRAYS
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.databases.demo import write_demo
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.stages.alignment import load_kernels
from mol_pipeline.stages.key_frames import choose_key_frames
from mol_pipeline.stages.video import prepare_video, video_record


def video_of(numbers, onset, apex, offset):
    given = {"onset": onset, "apex": apex, "offset": offset}
    sources = {
        f"{name}_source": "absent" if value is None else "annotated"
        for name, value in given.items()
    }
    return SourceVideo(
        database="x",
        subject="s",
        person="x/s",
        clip="c",
        raw_label="a",
        key_frames=KeyFrames(**given, **sources),
        frames=tuple((number, f"{number}.jpg") for number in numbers),
        folder=Path("f"),
    )


NUMBERS = st.lists(st.integers(0, 60), min_size=1, max_size=30, unique=True).map(sorted)
MAYBE = st.none() | st.integers(-2, 62)


@given(NUMBERS, MAYBE, MAYBE, MAYBE, st.sampled_from(["annotated", "middle", "largest-flow"]))
def test_what_is_chosen_is_in_order_on_disk_and_told_as_it_is(numbers, onset, apex, offset, rule):
    choice, why = choose_key_frames(video_of(numbers, onset, apex, offset), rule)
    if choice is None:
        assert why or apex is None
        # Nothing is lost: a rule that takes any frame finds one wherever there are two.
        assert rule == "annotated" or len(numbers) == 1
        return
    places = choice.positions
    assert places == sorted(places) and places[0] >= 0 and places[-1] < len(numbers)
    assert choice.onset < (choice.offset if choice.apex is None else choice.apex)
    for place, number, said in (
        (choice.onset, onset, choice.onset_rule),
        (choice.apex, apex, choice.apex_rule),
        (choice.offset, offset, choice.offset_rule),
    ):
        if said == "annotated":
            assert numbers[place] == number
    if rule == "annotated":
        assert choice.apex_rule == "annotated"
    elif choice.apex_rule != "annotated":
        assert choice.apex_rule == rule
        assert (choice.apex is None) == (rule == "largest-flow")


def test_no_record_is_made_where_none_is_wanted():
    assert choose_key_frames(video_of(range(9), 0, 4, 8), "none") == (None, "")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    write_demo(root, subjects=1)
    return root, min(Samm().index(root).videos, key=lambda one: len(one.frames))


def prepared(video, **changed):
    root, source = video
    config = BuildConfig.model_validate(
        {"sampling": {"phases": "centre"}, "key_frames": {"apex": "largest-flow"}}
    )
    key_frames = source.key_frames.model_copy(update=changed)
    source = SourceVideo(**{**vars(source), "key_frames": key_frames})
    made = prepare_video(source, root, config)
    return made, video_record(source, made, (), shard="shard-00000.h5", first_row=0)


def test_the_record_is_of_the_annotated_frames_with_the_flow_between_them(video):
    made, record = prepared(video)
    keys, stored = video[1].key_frames, record.stored_key_frames
    assert (stored.onset, stored.apex, stored.offset) == (keys.onset, keys.apex, keys.offset)
    assert made.arrays["key_source_frames"].tolist() == [[keys.onset, keys.apex, keys.offset]]
    kernels = load_kernels(BuildConfig().flow, None)
    for k in range(2):
        flow = kernels.flow(*made.arrays["key_frames"][0, k : k + 2])
        assert np.array_equal(made.arrays["key_flow"][0, k], flow.astype(np.float16))
    assert {array.name for array in KEY_ARRAYS} <= set(made.arrays)
    assert not any("apex" in remark for remark in record.remarks)


def test_an_apex_by_rule_is_where_the_flow_is_largest_and_is_said(video):
    made, record = prepared(video, apex=None, apex_source="absent")
    stored = record.stored_key_frames
    assert stored.apex_rule == "largest-flow"
    assert any("largest-flow" in remark and str(stored.apex) in remark for remark in record.remarks)
    lengths = np.hypot(*made.arrays["key_flow"][0, 0].astype(np.float64)).mean()
    assert lengths >= np.hypot(*prepared(video)[0].arrays["key_flow"][0, 0].astype(float)).mean()
