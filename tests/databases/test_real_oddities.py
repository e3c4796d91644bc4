"""What the owners' real tables and common copies hold: rows are kept, nothing is guessed.

Each oddity stands in a row of an invented clip: the rule is tested, not the published case.
"""

import dataclasses
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mol_pipeline.cli import main
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.labels import LABEL_MAPPINGS, label_mapping
from mol_pipeline.contract.manifest import IndexOptions, KeyFrames
from mol_pipeline.databases import builder, files, sheets
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.corrections import Corrections
from mol_pipeline.databases.key_frames import read_key_frames
from mol_pipeline.databases.registry import ADAPTERS
from tests.databases.releases import (
    Clip,
    affwild2,
    casme2,
    casme3,
    casme3_kinds,
    casme_sq,
    examples,
    four_dme,
    mmew,
    samm,
    samm_lv,
    smic,
    smic_e,
    write_table,
)
from tests.databases.test_published_shape import published_samm
from tests.in_process import invoke

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


def test_a_movement_over_a_whole_long_video_is_not_taken_for_numbered_anew(tmp_path):
    clip = Clip(6, "006_1_1", "", 2, 40, 101.4, kind="macro", on_disk=range(1, 101))
    (video,) = read(samm_lv([clip]), tmp_path).videos
    assert numbers(video) == list(range(2, 101)) and video.missing == (101,)


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


@pytest.mark.parametrize(("held", "end"), [(12, 12), (8, None), (25, 25)])
def test_a_folder_of_mmew_counts_if_it_reaches_the_apex(tmp_path, held, end):
    clips = [
        Clip(2, "S02-02-007", "surprise", 1, 10, 40, on_disk=range(1, held + 1)),
        Clip(3, "S03-01-001", "happiness", 1, 2, 4),
    ]
    index = read(mmew(clips), tmp_path)
    if end is None:
        assert rejected(index) == {"S02-02-007": "missing-frames"}
        return
    assert not index.rejected
    assert index.videos[0].key_frames.offset == end
    assert any("cut there" in note for note in index.notes)


def test_half_of_the_frames_is_enough(tmp_path):
    half = Clip(40, "040_1_1", "Anger", 11, 12, 20, on_disk=[11, 12, 15, 16, 20])
    less = Clip(40, "040_1_2", "Anger", 11, 12, 20, on_disk=[11, 12, 15, 20])
    index = read(samm([half, less]), tmp_path)
    assert [video.clip for video in index.videos] == ["040_1_1"]
    assert rejected(index) == {"040_1_2": "missing-frames"}


@pytest.mark.parametrize("expression", ["macro", "micro"])
def test_a_table_is_opened_once_however_often_it_is_asked(tmp_path, monkeypatch, expression):
    opened = []
    monkeypatch.setattr(sheets, "check_workbook", opened.append)
    casme3([Clip(7, "f", "disgust", 10, 12, 20)]).write(tmp_path)
    casme3_kinds([Clip(7, "f", "", 10, 30, 60, kind="macro")]).write(tmp_path)
    assert ADAPTERS["casme3"].index(tmp_path, expression=expression).videos
    assert len(opened) == len(set(opened)) == 2


@pytest.mark.parametrize("strict_macro", [3346, 3345])
def test_the_macro_table_of_casme3_is_held_against_its_published_number(tmp_path, strict_macro):
    clips = [
        Clip(n % 90 + 1, "a", "", 2 * n + 1, 2 * n + 1, 2 * n + 1, kind="macro")
        for n in range(strict_macro)
    ]
    index = read(casme3_kinds(clips), tmp_path, expression="macro")
    (check,) = index.counts
    assert (check.found, check.expected) == (strict_macro, 3346)


def test_the_newest_of_samm_long_videos_tables_is_taken_and_said(tmp_path):
    clips = [Clip(6, "006_1_2", "", 5, 6, 8, on_disk=range(20))]
    for version, offset in ((1, 8), (3, 12), (2, 10)):
        release = samm_lv([replace(clips[0], offset=offset)])
        release.table = f"SAMM_LongVideos_V{version}_Release.xlsx"
        release.write(tmp_path)
    index = ADAPTERS["samm-lv"].index(tmp_path)
    assert [video.key_frames.offset for video in index.videos] == [12]
    (said,) = [note for note in index.notes if "supersedes" in note]
    assert "SAMM_LongVideos_V3_Release.xlsx is used" in said
    assert "SAMM_LongVideos_V1_Release.xlsx, SAMM_LongVideos_V2_Release.xlsx" in said
    older = tmp_path / "SAMM_LongVideos_V1_Release.xlsx"
    named = ADAPTERS["samm-lv"].index(tmp_path, annotation=older)
    assert [video.key_frames.offset for video in named.videos] == [8]


def test_a_video_of_affwild2_without_most_of_its_crops_is_rejected(tmp_path):
    labels = {"1-1": [0] * 9 + [-1] * 50, "2-2": [0] * 9}
    index = read(affwild2(labels, {"1-1": range(1, 6), "2-2": [1, 9]}), tmp_path)
    assert [video.clip for video in index.videos] == ["1-1"]
    assert rejected(index) == {"2-2": "missing-frames"}
    (lost,) = index.rejected
    assert "7 of its 9 frames are not there" in lost.message
    assert "its owners found no face in these labelled frames" in lost.message


def test_the_setting_is_kept_and_left_out_where_it_is_the_half():
    assert "most_missing" not in IndexOptions().model_dump(mode="json")
    assert IndexOptions(most_missing=1).model_dump(mode="json")["most_missing"] == 1
    assert IndexOptions.model_validate_json("{}") == IndexOptions()


def test_key_frames_without_an_interval_are_absent():
    clip = AnnotatedClip("s1", "s1_ne_01", "negative", "", whole_clip=True)
    reading = read_key_frames(clip, Corrections("smic-hs", enabled=True), fractions=False)
    assert reading.key_frames == KeyFrames()


# Objective classes


CASME2_CLIPS = [Clip(n % 5 + 1, f"EP{n:02d}_0{n % 7}f", "disgust") for n in range(20)]
CLASSES = [str(n % 7 + 1) for n in range(20)]


def objective_file(root, rows, header=("Subject", "Filename", "Objective Class"), suffix="xlsx"):
    write_table(root / f"CASME2-ObjectiveClasses.{suffix}", {"Sheet1": [list(header), *rows]})


def named_rows():
    return [
        [clip.subject, clip.name, figure]
        for clip, figure in zip(CASME2_CLIPS, CLASSES, strict=True)
    ]


def classes_of(index):
    return {
        (video.subject, video.clip): video.annotations.get("objective_class", "")
        for video in index.videos
    }


EXPECTED = {
    (f"{clip.subject:02d}", clip.name): figure
    for clip, figure in zip(CASME2_CLIPS, CLASSES, strict=True)
}


@pytest.mark.parametrize("name", ["samm", "casme2", "casme3"])
def test_objective_classes_are_read_in_either_figures(name):
    roman = ("i", "ii", "iii", "iv", "v", "vi", "vii")
    objective = label_mapping(LABEL_MAPPINGS[name], "objective")
    assert objective.classes == roman
    for number, figure in enumerate(roman, start=1):
        for text in (str(number), figure.upper()):
            clip = Labelled({"objective_class": text})
            assert objective.class_of(clip) == figure
            if name != "casme3":
                first_five = label_mapping(LABEL_MAPPINGS[name], "megc2018").class_of(clip)
                assert first_five == (figure if number <= 5 else None)
    assert objective.class_of(Labelled({"objective_class": "8"})) is None


@dataclasses.dataclass
class Labelled:
    annotations: dict
    raw_label: str = "disgust"
    has_distinct_apex: bool = True


@pytest.mark.parametrize("suffix", ["xlsx", "csv"])
@pytest.mark.parametrize("order", ["rows", "shuffled", "slip", "no names", "other spelling"])
def test_the_separate_file_of_objective_classes_is_read(tmp_path, order, suffix):
    rows, header = named_rows(), ("Subject", "Filename", "Objective Class")
    if order == "shuffled":
        random.Random(3).shuffle(rows)
    elif order == "slip":
        rows[11][1] = "EP99_01"
    elif order == "no names":
        rows, header = [[row[2]] for row in rows], ("Objective Class",)
    elif order == "other spelling":
        rows = [[f"sub{row[0]:02d}", row[1].upper(), f"{row[2]}.0"] for row in rows]
    objective_file(tmp_path, rows, header, suffix)
    index = read(casme2(CASME2_CLIPS), tmp_path)
    assert classes_of(index) == EXPECTED
    notes = " | ".join(index.notes)
    assert "objective classes of 20 clip(s) are those of CASME2-ObjectiveClasses" in notes
    assert ("taken in the order of the rows" in notes) == (order in {"slip", "no names"})


@pytest.mark.parametrize("kind", ["shorter", "other clips", "other order", "two classes"])
def test_a_file_of_objective_classes_that_does_not_fit_is_refused(tmp_path, kind):
    rows, header = named_rows(), ("Subject", "Filename", "Objective Class")
    if kind == "shorter":
        rows, header = [[row[2]] for row in rows[:-1]], ("Objective Class",)
    elif kind == "other clips":
        rows = [[row[0] + 30, row[1], row[2]] for row in rows]
    elif kind == "other order":
        rows = [[row[0], "", row[2]] for row in reversed(rows)]
    else:
        rows.append([rows[4][0], rows[4][1], "7" if rows[4][2] != "7" else "1"])
    objective_file(tmp_path, rows, header)
    with pytest.raises(SourceError, match=r"ObjectiveClasses\.xlsx: .*(do not fit|two objective)"):
        read(casme2(CASME2_CLIPS), tmp_path)


def test_the_classes_of_the_coding_count_where_both_have_them(tmp_path):
    objective_file(tmp_path, [[row[0], row[1], "7"] for row in named_rows()])
    index = read(casme2(CASME2_CLIPS, coding="20190701"), tmp_path)
    assert set(classes_of(index).values()) == {"IV"}
    assert any("20 class(es) differ from the annotation's, which count" in n for n in index.notes)


def test_a_clip_without_an_objective_class_is_named(tmp_path):
    objective_file(tmp_path, named_rows()[:-1])
    index = read(casme2(CASME2_CLIPS), tmp_path)
    last = CASME2_CLIPS[-1]
    assert any(
        f"no objective class for 1 clip(s), first: {last.subject:02d}/{last.name.lower()}" in note
        for note in index.notes
    )
    assert sum(not one for one in classes_of(index).values()) == 1


# Tables


@pytest.mark.parametrize("name", ["samm", "casme2", "casme", "casme3", "mmew", "4dme", "samm-lv"])
def test_a_table_saved_as_csv_is_found_and_beside_its_workbook_compared(tmp_path, name):
    release = examples()[name]
    plain = ADAPTERS[name].index(release.write(tmp_path / "db"))
    workbook = tmp_path / "db" / release.table
    release.table = f"{workbook.stem}.csv"
    both = ADAPTERS[name].index(release.write(tmp_path / "db"))
    assert any("is used; the same is in" in note for note in both.notes)
    workbook.unlink()
    alone = ADAPTERS[name].index(tmp_path / "db")
    assert alone.videos == both.videos == plain.videos
    assert alone.annotation.suffix == ".csv"


def test_any_csv_of_samm_is_found(tmp_path):
    release = samm([Clip(40, "040_1_1", "Anger")])
    release.table = "SAMM codes of ours.csv"
    assert len(read(release, tmp_path).videos) == 1


# CAS(ME)^3

TOUCHING = [
    Clip(7, "f", "disgust", 100, 104, 110),
    Clip(7, "f", "happy", 110, 113, 119),
    Clip(7, "f", "fear", 119, 122, 130),
]


@pytest.mark.parametrize("lost", range(3))
def test_an_absent_clip_folder_is_not_replaced_by_a_neighbours(tmp_path, lost):
    release = casme3(TOUCHING)
    for folder in list(release.frames):
        if folder.endswith(f"_{TOUCHING[lost].onset}"):
            del release.frames[folder]
    index = read(release, tmp_path)
    assert rejected(index) == {f"f_{TOUCHING[lost].onset}": "no-folder"}
    assert len(index.videos) == 2


def test_only_a_row_that_a_correction_has_moved_may_look_elsewhere(tmp_path):
    clips = [
        Clip(216, "d", "fear", 3647, 2668, 2680, on_disk=range(2647, 2681)),
        Clip(216, "d", "fear", 3000, 3005, 3010),
    ]
    release = casme3(clips)
    for folder in list(release.frames):
        if folder.endswith("_3647"):
            release.frames[folder.replace("3647", "2640")] = release.frames.pop(folder)
    index = read(release, tmp_path)
    assert not index.rejected
    assert index.videos[0].folder.endswith("216_d_2640") or index.videos[1].folder.endswith("2640")


@pytest.mark.parametrize("newer", ["v2", "v3", "v2_20250903"])
def test_the_newest_table_is_taken_and_an_old_one_is_warned_of(tmp_path, newer):
    clips = [Clip(7, "f", "disgust", 10, 12, 20), Clip(8, "g", "happy", 30, 31, 40)]
    release = casme3(clips)
    release.table = f"annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_{newer}.xlsx"
    release.write(tmp_path)
    old = casme3([*clips, Clip(9, "h", "fear", 1, 2, 3)])
    old.frames, old.table = {}, "annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v1.xlsx"
    old.write(tmp_path)
    errors = casme3(clips[:1])
    errors.frames, errors.table = {}, "exception/casme3_partA_error_list_ZhouJu.xlsx"
    errors.write(tmp_path)
    kinds = casme3_kinds(clips)
    kinds.frames = {}
    kinds.write(tmp_path)

    index = ADAPTERS["casme3"].index(tmp_path)
    assert index.annotation == tmp_path / release.table
    assert any(
        f"JpgIndex_{newer}.xlsx is used; it supersedes annotation/partA" in note
        for note in index.notes
    )
    assert not index.rejected and not index.warnings

    index = ADAPTERS["casme3"].index(tmp_path, annotation=tmp_path / old.table)
    assert len(index.videos) == 2
    assert "is version 1, which the owners have replaced by version 2" in index.warnings[0]
    shown = invoke(
        main, "index", "--dataset", "casme3", "--root", tmp_path, "--annotation",
        tmp_path / old.table,
    )  # fmt: skip
    assert "warning: cas(me)3_part_A_ME_label_JpgIndex_v1.xlsx is version 1" in shown.stderr


def test_macro_expressions_of_casme3_are_read_where_they_are_asked_for(tmp_path):
    micro = [Clip(7, "f", "disgust", 10, 12, 20)]
    macro = [
        Clip(7, "f", "", 10, 30, 60, kind="macro"),
        Clip(8, "a", "", 100, 90, 150, kind="macro"),
        Clip(8, "a", "", 200, 190, 150, kind="macro", on_disk=[200]),
    ]
    casme3(micro).write(tmp_path)
    release = casme3_kinds([*micro, *macro])
    release.write(tmp_path)

    plain = ADAPTERS["casme3"].index(tmp_path)
    assert [video.clip for video in plain.videos] == ["f_10"]

    index = ADAPTERS["casme3"].index(tmp_path, expression="macro")
    assert [video.clip for video in index.videos] == ["f_10_macro", "a_100_macro"]
    assert rejected(index) == {"a_200_macro": "impossible-row"}
    assert all("MaE_clip" in video.folder for video in index.videos)
    assert len(index.videos[0].frames) == 51
    assert index.videos[1].key_frames.apex is None
    assert index.document("micro-macro").by_class == {"micro": 0, "macro": 2}
    assert index.document("objective").videos == 0

    both = ADAPTERS["casme3"].index(tmp_path, annotation=tmp_path / release.table)
    assert {video.clip: video.raw_label for video in both.videos} == {
        "f_10": "disgust",
        "f_10_macro": "",
        "a_100_macro": "",
    }
    assert both.document("4").videos == 1
    checks = {check.what: (check.found, check.expected) for check in both.counts}
    assert checks == {  # a row that contradicts itself is in no copy
        "macro-expressions of possible rows": (2, 3345),
        "micro-expressions of possible rows": (1, 860),
    }


def test_all_rows_of_a_long_table_of_macro_expressions_are_read(tmp_path):
    clips = [
        Clip(n % 90 + 1, "a", "", 40 * n + 1, 40 * n + 2, 40 * n + 2, kind="macro")
        for n in range(300)
    ]
    index = read(casme3_kinds(clips), tmp_path, expression="macro")
    assert len(index.videos) == 300 and not index.rejected


def test_a_recording_is_listed_once_for_its_clips(tmp_path, monkeypatch):
    clips = [
        Clip(6, f"006_1_{n}", "", 10 * n, 10 * n + 1, 10 * n + 8, kind="macro", on_disk=range(200))
        for n in range(1, 15)
    ]
    listed = []
    monkeypatch.setattr(
        builder, "list_series", lambda folder: listed.append(folder) or files.list_series(folder)
    )
    assert len(read(samm_lv(clips), tmp_path).videos) == 14
    assert len(listed) == 1


# Folders of other people and neighbours


def test_a_clip_of_4dme_is_not_taken_from_another_subject(tmp_path):
    clips = [Clip(1, "disgust_1", "Negative"), Clip(2, "disgust_1", "Negative")]
    release = four_dme(clips)
    del release.frames["4DME/gray_micro/sub02/disgust_1"]
    index = read(release, tmp_path / "lost")
    assert rejected(index) == {"disgust_1": "no-folder"}
    assert [video.subject for video in index.videos] == ["sub01"]
    flat = four_dme(clips[:1])
    flat.frames = {"4DME/gray_micro/disgust_1": flat.frames["4DME/gray_micro/sub01/disgust_1"]}
    assert len(read(flat, tmp_path / "flat").videos) == 1


# SMIC and SMIC-E


def long_video(name, first, last, *intervals):
    row = {"Subject": int(name[1 : name.index("_")]), "Filename": name, "Emotion": "negative"}
    row |= {"FirstF": first, "LastF": last}
    for number, (onset, offset) in zip(("", "2", "3"), intervals, strict=False):
        row |= {f"Onset{number}F": onset, f"Offset{number}F": offset}
    return row


@pytest.mark.parametrize("first", [40, 4000, 40000, "", "see note"])
def test_a_first_frame_outside_its_own_folder_is_a_slip_of_the_row(tmp_path, first):
    release = smic_e(
        [
            long_video("s14_ne_03", 4000, 4100, (4010, 4030), (4050, 4070), (5, 9)),
            long_video("s14_ne_04", 5000, 5100, (5010, 5030)),
        ]
    )
    release.rows[0]["FirstF"] = first
    index = read(release, tmp_path)
    assert not index.rejected
    assert [video.clip for video in index.videos] == ["s14_ne_03", "s14_ne_03#2", "s14_ne_04"]
    assert [numbers(video)[0] for video in index.videos] == [4010, 4050, 5010]
    said = "first or last frame(s) of long videos lie far outside their own folders"
    assert any(said in note for note in index.notes) == (first in {40, 40000})


def test_a_long_video_without_its_folder_takes_no_other(tmp_path):
    rows = [
        long_video("s14_ne_03", 4000, 4100, (4050, 4070)),
        long_video("s14_ne_04", 4040, 4140, (4100, 4120)),
    ]
    release = smic_e(rows)
    for folder in list(release.frames):
        if folder.endswith("s14_ne_03"):
            del release.frames[folder]
    index = read(release, tmp_path)
    assert rejected(index) == {"s14_ne_03": "no-folder"}


def test_the_copy_of_a_partial_long_video_keeps_its_expressions(tmp_path):
    release = smic_e([long_video("s14_ne_03", 4000, 4100, (4010, 4030), (4050, 4070))])
    (folder,) = release.frames
    release.frames[folder] = release.frames[folder][20:]
    index = read(release, tmp_path)
    assert [(video.clip, len(video.frames)) for video in index.videos] == [
        ("s14_ne_03", 11),
        ("s14_ne_03#2", 21),
    ]


def smic_clips(frames):
    return [
        Clip(n % 4 + 1, f"s{n % 4 + 1}_ne_{n:02d}", "negative", 700 * n, 0, 700 * n + frames - 1)
        for n in range(1, 9)
    ]


@pytest.mark.parametrize("camera", ["VIS", "NIR"])
@pytest.mark.parametrize("below", ["", "SMIC_all_raw", "SMIC_all_raw/HS", "SMIC_all_raw/HS/s1"])
def test_another_cameras_folder_is_refused_at_any_depth(tmp_path, camera, below):
    smic(smic_clips(34), "HS").write(tmp_path / "db")
    with pytest.raises(SourceError) as caught:
        ADAPTERS[f"smic-{camera.lower()}"].index(tmp_path / "db" / below)
    if "HS" in below:
        assert "--dataset smic-hs" in str(caught.value)


@pytest.mark.parametrize(("camera", "frames"), [("vis", 34), ("nir", 34), ("hs", 9)])
def test_clips_of_another_frame_rate_are_told(tmp_path, camera, frames):
    release = smic(smic_clips(frames), "x")
    release.frames = {k.replace("/x/", "/"): v for k, v in release.frames.items()}
    release.write(tmp_path / "db")
    if camera == "hs":
        index = ADAPTERS["smic-hs"].index(tmp_path / "db")
        assert len(index.videos) == 8
        assert any("100 frames a second" in warning for warning in index.warnings)
        return
    with pytest.raises(SourceError, match="25 frames a second"):
        ADAPTERS[f"smic-{camera}"].index(tmp_path / "db")


@pytest.mark.parametrize(("camera", "frames"), [("HS", 34), ("VIS", 9), ("NIR", 11)])
def test_the_right_camera_is_read_from_its_own_folder(tmp_path, camera, frames):
    smic(smic_clips(frames), camera).write(tmp_path / "vis" / "db")
    root = tmp_path / "vis" / "db" / "SMIC_all_raw" / camera
    index = ADAPTERS[f"smic-{camera.lower()}"].index(root)
    assert len(index.videos) == 8 and not index.warnings


# Frames numbered anew


@settings(ON_DISK, max_examples=6, phases=[Phase.generate])
@given(data=st.data())
def test_no_clip_of_a_renumbered_copy_is_read_by_wrong_numbers(tmp_path_factory, data):
    """Trimmed clips, their frames counted from 0 or 1, some of the last ones lost."""
    start = data.draw(st.sampled_from([0, 1]))
    clips = []
    for n in range(12):
        onset = data.draw(st.integers(2, 90))
        offset = onset + data.draw(st.integers(20, 80))
        lost = data.draw(st.sampled_from([0, 0, 0, 1, 3, 8, 15]))
        held = range(start, start + offset - onset + 1 - lost)
        name = f"EP{n:02d}_01f"
        clips.append(Clip(n, name, "disgust", onset, onset + 5, offset, on_disk=held))
    clips += [  # so that it is seen: two whole ones
        Clip(20 + n, f"EP{n}_9", "fear", 40, 45, 60, on_disk=range(start, start + 21))
        for n in (1, 2)
    ]
    root = casme2(clips).write(tmp_path_factory.mktemp("anew") / "db")
    with pytest.raises(SourceError, match="'--numbers anew' takes them in order"):
        ADAPTERS["casme2"].index(root)
    index = ADAPTERS["casme2"].index(root, numbers="anew")
    for video in index.videos:
        assert numbers(video)[0] == start  # the first file is the annotated onset
        assert video.key_frames.onset == start
        assert video.key_frames.apex == start + 5
    assert {one.code for one in index.rejected} <= {"frames-do-not-fit"}


def test_a_copy_in_which_many_clips_are_renumbered_says_so_once(tmp_path):
    sound = [Clip(n, f"EP{n:02d}_1", "disgust", 46, 59, 86) for n in range(1, 4)]
    anew = [
        Clip(n, f"EP{n:02d}_2", "disgust", 46, 59, 86, on_disk=range(1, 42)) for n in range(4, 9)
    ]
    doubtful = Clip(9, "EP09_3", "disgust", 5, 20, 45, on_disk=range(1, 36))
    index = read(casme2([*sound, *anew, doubtful]), tmp_path)
    assert {video.clip for video in index.videos} == {clip.name for clip in sound}
    assert rejected(index)["EP09_3"] == "ambiguous-numbers"
    (warning,) = index.warnings
    assert warning.startswith("5 of 9 clips have frames that are numbered anew")
    named = ADAPTERS["casme2"].index(tmp_path, numbers="named")
    assert "EP09_3" in {video.clip for video in named.videos}


# What index says of a partial copy


def test_a_partial_copy_is_summed_up_in_one_line_and_listed_with_v(tmp_path):
    clips = [Clip(6 + n // 3, f"{6 + n // 3:03d}_1_{n}", "Anger") for n in range(12)]
    root = samm(clips).write(tmp_path)
    short = invoke(main, "index", "--dataset", "samm", "--root", root)
    warnings = [line for line in short.stderr.splitlines() if line.startswith("warning")]
    assert warnings == [
        "warning: 12 of 159 clips are here (4 of 29 subjects); 'index -v' lists every count that "
        "is not as published"
    ]
    long = invoke(main, "index", "--dataset", "samm", "--root", root, "-v")
    assert "warning: videos of subject 011: found 0, published 20" in long.stderr
    strict = invoke(main, "index", "--dataset", "samm", "--root", root, "--strict")
    assert strict.exit_code == 5


def test_a_whole_copy_with_other_labels_lists_them(tmp_path):
    clips = published_samm()
    first = next(clip for clip in clips if clip.emotion == "Anger")
    first.emotion = "Fear"
    root = samm(clips).write(tmp_path)
    shown = invoke(main, "index", "--dataset", "samm", "--root", root).stderr
    assert "clips are here" not in shown
    assert "warning: videos labelled anger: found 56, published 57" in shown
