"""What the owners' real tables and common copies hold: rows are kept, nothing is guessed.

Each oddity stands in a row of an invented clip: the rule is tested, not the published case.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mol_pipeline.contract.manifest import IndexOptions, KeyFrames
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.corrections import Corrections
from mol_pipeline.databases.key_frames import read_key_frames
from mol_pipeline.databases.registry import ADAPTERS
from tests.databases.releases import Clip, affwild2, casme_sq, examples, samm, samm_lv

ON_DISK = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def read(release, root, **options):
    return ADAPTERS[release.name].index(release.write(root), **options)


def numbers(video):
    return [number for number, _ in video.frames]


def rejected(index):
    return {one.clip: one.code for one in index.rejected}


# Key frames of a row


@st.composite
def odd_rows(draw):
    """A possible interval in frames or fractions of them, and an apex that is good or odd."""
    onset = draw(st.integers(1, 500))
    offset = onset + draw(st.integers(2, 300))
    part = draw(st.sampled_from([0, 0.2, 0.49]))
    kind = draw(st.sampled_from(["inside", "unannotated", "before", "behind", "below zero"]))
    apex = {
        "inside": (onset + offset) // 2,
        "unannotated": -1,
        "before": onset - draw(st.integers(1, onset)),
        "behind": offset + draw(st.integers(1, 900)),
        "below zero": -draw(st.integers(2, 900)) - part,
    }[kind]
    return onset + part, apex, offset + part, kind


@settings(max_examples=200, deadline=None, derandomize=True)
@given(row=odd_rows(), zero=st.sampled_from(["number", "open"]))
def test_no_row_is_lost_for_its_apex_or_its_fractions(row, zero):
    onset, apex, offset, kind = row
    clip = AnnotatedClip(
        "040", "040_8_8", "", "row 1", onset=str(onset), apex=str(apex), offset=str(offset),
        zero=zero,
    )  # fmt: skip
    reading = read_key_frames(clip, Corrections("samm-lv", enabled=True), fractions=True)
    frames = reading.key_frames
    assert (frames.onset, frames.offset) == (int(onset), int(offset))
    assert frames.apex == (apex if kind == "inside" else None)
    assert frames.apex_source == ("annotated" if kind == "inside" else "absent")
    kinds = {notice.kind for notice in reading.notices} - {"rounded"}
    assert kinds <= {"outside", "unannotated"}
    assert bool(kinds) == (kind != "inside" and apex != 0)
    assert not reading.corrections


def test_movements_of_samm_long_videos_are_all_kept(tmp_path):
    clips = [
        Clip(6, "006_1_1", "", 12.5, -1, 99.2, kind="macro", on_disk=range(1, 201)),
        Clip(6, "006_1_2", "", 100, 140, 130, kind="macro", on_disk=()),
        Clip(7, "007_2_1", "", 0, -1, 40.6, kind="macro", on_disk=range(1, 60)),
        Clip(7, "007_2_2", "", -1, 20, 0, kind="macro", on_disk=()),
        Clip(8, "008_2_2", "", 30, 29, 44, on_disk=range(1, 60)),
    ]
    index = read(samm_lv(clips), tmp_path)
    assert not index.rejected and not index.corrections
    found = {video.clip: video for video in index.videos}
    keys = {
        name: (one.key_frames.onset, one.key_frames.apex, one.key_frames.offset)
        for name, one in found.items()
    }
    assert keys == {
        "006_1_1": (13, None, 99),
        "006_1_2": (100, None, 130),
        "007_2_1": (None, None, 41),
        "007_2_2": (None, 20, None),
        "008_2_2": (30, None, 44),
    }
    assert numbers(found["007_2_2"]) == list(range(1, 60))
    assert found["006_1_1"].remarks[:2] == (
        "onset 12.5 rounded to 13",
        "offset 99.2 rounded to 99",
    )
    notes = " | ".join(index.notes)
    assert "3 frame number(s) of 2 row(s) are fractions" in notes
    assert "2 apex(es) of -1 mean that none is annotated" in notes
    assert "2 apex(es) lie outside their onset .. offset" in notes
    assert "1 onset(s) or offset(s) of 1 row(s) are below 0" in notes


def test_movements_of_one_name_that_begin_together_stay_apart(tmp_path):
    clips = [
        Clip(6, "006_1_1", "", 0, 5, end, kind="macro", on_disk=range(1, 40)) for end in (9, 20, 31)
    ]
    index = read(samm_lv(clips), tmp_path)
    assert not index.rejected
    assert len({video.clip for video in index.videos}) == 3


@pytest.mark.parametrize("past", [1, 4, 6])
def test_an_apex_past_the_offset_keeps_the_row_of_casme_squared(tmp_path, past):
    clips = [
        Clip(19, "anger1_3", "negative", 40, 60 + past, 60, kind="macro", on_disk=range(1, 90)),
        Clip(20, "anger1_1", "negative"),
    ]
    index = read(casme_sq(clips), tmp_path)
    assert not index.rejected
    frames = index.videos[0].key_frames
    assert (frames.onset, frames.apex, frames.offset) == (40, None, 60)
    assert f"apex {60 + past} lies outside" in index.videos[0].remarks[0]


# Clips that lack most of their frames


@pytest.mark.parametrize("name", sorted(examples()))
@pytest.mark.parametrize("share", [None, 0.9])
def test_a_clip_without_most_of_its_frames_is_rejected_by_name(tmp_path, name, share):
    release = examples()[name]
    whole = ADAPTERS[name].index(release.write(tmp_path / "whole"))
    video = whole.videos[-1]
    kept = (video.frames[0] if name == "mmew" else video.frames[-1])[1]
    lost = {file for _, file in video.frames} - {kept}
    release.frames[video.folder] = [
        file for file in release.frames[video.folder] if file not in lost
    ]
    options = {} if share is None else {"most_missing": share}
    index = ADAPTERS[name].index(release.write(tmp_path / "broken"), **options)
    if share is None:
        assert rejected(index)[video.clip] == "missing-frames"
        message = next(one.message for one in index.rejected if one.clip == video.clip)
        assert video.folder in message and "--most-missing" in message
    else:
        assert not index.rejected
        assert len(index.videos[-1].frames) == 1


def test_half_of_the_frames_is_enough(tmp_path):
    half = Clip(40, "040_1_1", "Anger", 11, 12, 20, on_disk=[11, 12, 15, 16, 20])
    less = Clip(40, "040_1_2", "Anger", 11, 12, 20, on_disk=[11, 12, 15, 20])
    index = read(samm([half, less]), tmp_path)
    assert [video.clip for video in index.videos] == ["040_1_1"]
    assert rejected(index) == {"040_1_2": "missing-frames"}


def test_a_video_of_affwild2_without_most_of_its_crops_is_rejected(tmp_path):
    labels = {"1-1": [0] * 9 + [-1] * 50, "2-2": [0] * 9}
    index = read(affwild2(labels, {"1-1": range(1, 6), "2-2": [1, 9]}), tmp_path)
    assert [video.clip for video in index.videos] == ["1-1"]
    assert rejected(index) == {"2-2": "missing-frames"}


def test_the_setting_is_kept_and_left_out_where_it_is_the_half():
    assert "most_missing" not in IndexOptions().model_dump(mode="json")
    assert IndexOptions(most_missing=1).model_dump(mode="json")["most_missing"] == 1
    assert IndexOptions.model_validate_json("{}") == IndexOptions()


def test_key_frames_without_an_interval_are_absent():
    clip = AnnotatedClip("s1", "s1_ne_01", "negative", "", whole_clip=True)
    reading = read_key_frames(clip, Corrections("smic-hs", enabled=True), fractions=False)
    assert reading.key_frames == KeyFrames()
