"""What is special about each database."""

import cv2
import numpy as np
import pytest

from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.labels import LABEL_MAPPINGS, label_mapping
from mol_pipeline.databases.adapters.affwild2 import read_labels
from mol_pipeline.databases.registry import ADAPTERS
from tests.databases.releases import (
    Clip,
    affwild2,
    casme2,
    casme_sq,
    four_dme,
    samm,
    samm_lv,
    smic,
    smic_e,
    write_table,
)

CASME2 = [Clip(1, "EP02_01f", "happiness", 46, 59, 86), Clip(2, "EP02_01f", "others", 9, 10, 12)]


def read(release, root, **arguments):
    return ADAPTERS[release.name].index(release.write(root), **arguments)


def numbers(video):
    return [number for number, _ in video.frames]


def test_full_casme2_is_cut_to_the_annotated_interval(tmp_path):
    full = [Clip(1, "EP02_01f", "happiness", 46, 59, 86, on_disk=range(1, 120))]
    index = read(casme2(full, tree="CASME2-RAW"), tmp_path)
    assert numbers(index.videos[0]) == list(range(46, 87))
    assert any("more frames than the annotated" in note for note in index.notes)


def test_of_several_sets_of_frames_one_is_taken_and_the_others_are_named(tmp_path):
    casme2(CASME2, tree="Cropped", prefix="reg_img").write(tmp_path)
    index = read(casme2(CASME2), tmp_path)
    assert {video.folder.split("/")[0] for video in index.videos} == {"CASME2_RAW_selected"}
    assert any("Cropped" in note and "--frames" in note for note in index.notes)
    cropped = read(casme2(CASME2), tmp_path, frames="Cropped")
    assert cropped.videos[0].folder == "Cropped/sub01/EP02_01f"
    assert cropped.videos[0].frames[0] == (46, "reg_img46.jpg")


def test_the_fuller_set_of_frames_wins(tmp_path):
    casme2(CASME2, tree="Cropped", prefix="reg_img").write(tmp_path)
    index = read(casme2([CASME2[0]]), tmp_path, annotation=None)
    casme2(CASME2).write(tmp_path / "tables-only")
    index = ADAPTERS["casme2"].index(
        tmp_path, annotation=tmp_path / "tables-only/CASME2-coding-20140508.xlsx", frames="Cropped"
    )
    assert len(index.videos) == 2


def test_the_coding_of_casme2_is_said(tmp_path):
    clips = [*CASME2, Clip(24, "EP07_01", "sadness")]
    assert "labels are those of the 2014 coding" in read(casme2(clips), tmp_path / "a").notes
    clips[2].emotion = "surprise"
    later = read(casme2(clips, coding="20190701"), tmp_path / "b")
    assert "labels are those of the 2019 coding" in later.notes
    assert later.videos[0].annotations["objective_class"] == "IV"


def test_a_missing_apex_is_estimated_where_an_estimate_is_published(tmp_path):
    clip = Clip(4, "EP12_01f", "disgust", 261, "/", 321)
    (video,) = read(casme2([clip]), tmp_path).videos
    assert (video.key_frames.apex, video.key_frames.apex_source) == (279, "estimated")
    assert not video.has_distinct_apex
    index = ADAPTERS["casme2"].index(tmp_path, corrections=False)
    assert index.videos[0].key_frames.apex_source == "absent"


def test_stray_folders_without_a_row_are_named(tmp_path):
    stray = tmp_path / "CASME2_RAW_selected/sub24/EP02_07"
    stray.mkdir(parents=True)
    (stray / "img1.jpg").touch()
    (one,) = read(casme2(CASME2), tmp_path).rejected
    assert (one.subject, one.clip, one.code) == ("24", "EP02_07", "not-annotated")


SMIC = [Clip(1, "s1_ne_01", "negative", 72643, 0, 72650), Clip(20, "s20_sur_03", "surprise")]


def test_smic_takes_subject_and_label_from_the_path(tmp_path):
    release = smic(SMIC)
    folder = next(iter(release.frames))
    release.frames[folder].remove("image072645.bmp")
    index = read(release, tmp_path)
    first = index.videos[0]
    assert (first.subject, first.person, first.raw_label) == ("s1", "smic/s1", "negative")
    assert first.key_frames.apex is None
    assert first.missing == (72645,)


def test_each_camera_of_smic_is_a_database_of_the_same_people(tmp_path):
    for camera in ("HS", "VIS", "NIR"):
        smic(SMIC, camera).write(tmp_path)
    (tmp_path / "SMIC_all_raw/HS/s1/non_micro/s1_non_01").mkdir(parents=True)
    (tmp_path / "SMIC_all_raw/HS/s1/non_micro/s1_non_01/image000001.bmp").touch()
    found = {name: ADAPTERS[name].index(tmp_path) for name in ("smic-hs", "smic-vis", "smic-nir")}
    for name, index in found.items():
        assert len(index.videos) == 2
        assert all(f"/{name[5:].upper()}/" in video.folder for video in index.videos)
    assert len({video.person for index in found.values() for video in index.videos}) == 2
    assert len({video.key for index in found.values() for video in index.videos}) == 6


def smic_e_row(name, first, last, *intervals, emotion="negative"):
    row = {
        "Subject": int(name[1 : name.index("_")]),
        "Filename": name,
        "FirstF": first,
        "LastF": last,
        "Emotion": emotion,
    }
    for number, (onset, offset) in zip(("", "2", "3"), intervals, strict=False):
        row |= {f"Onset{number}F": onset, f"Offset{number}F": offset}
    return row


def test_smic_e_recovers_expressions_from_their_hosts_and_distrusts_cells(tmp_path):
    rows = [
        smic_e_row("s3_ne_02", 100, 200, (110, 120), (150, 160)),
        smic_e_row("s4_ne_04", 300, 400, (310, 320), (330, 340), (350, 360)),
        smic_e_row("s20_ne_06", 500, 600, (510, 520), (540, 550), (9, -9)),
        smic_e_row("s9_sur_01", 700, 800, (710, 720), (730, 740), (730, 740), emotion="surprise"),
        smic_e_row("s18_sur_03", 900, 990, (950, 960), (910, 920)),
        smic_e_row("s3_ne_20", "MISSING <-426679", "", (5, 9)),
    ]
    index = read(smic_e(rows), tmp_path)
    assert {video.clip for video in index.videos} == {
        *("s3_ne_02", "s3_ne_03", "s4_ne_04", "s4_ne_05", "s4_ne_06", "s20_ne_06", "s20_ne_06#2"),
        *("s9_sur_01", "s9_sur_02", "s18_sur_03", "s18_sur_03#2"),
    }
    by_name = {video.clip: video for video in index.videos}
    assert numbers(by_name["s3_ne_03"]) == list(range(150, 161))
    assert by_name["s3_ne_03"].folder.endswith("s03/s3_ne_02")
    assert by_name["s18_sur_03"].raw_label == "surprise"
    assert {(one.field, one.right) for one in index.corrections} >= {
        ("emotion", "surprise"),
        ("clip", "s3_ne_03"),
    }
    assert [(one.clip, one.code) for one in index.rejected] == [("s3_ne_20", "no-long-video")]
    assert any("s20_ne_06" in note and "ignored" in note for note in index.notes)


def test_smic_e_with_a_row_per_expression_finds_the_host_by_frame_number(tmp_path):
    rows = [
        smic_e_row("s3_ne_02", 100, 200, (110, 120), (150, 160)),
        smic_e_row("s3_ne_03", "", "", (150, 160)),
    ]
    index = read(smic_e(rows), tmp_path)
    assert [(video.clip, video.folder[-8:]) for video in index.videos] == [
        ("s3_ne_02", "s3_ne_02"),
        ("s3_ne_03", "s3_ne_02"),
    ]


def test_long_videos_of_samm_get_emotions_from_the_table_of_samm(tmp_path):
    clips = [Clip(6, "006_1_2", "", 10, 12, 14), Clip(6, "006_1_2", "", 1, 2, 9, kind="macro")]
    assert any("have no emotion" in note for note in read(samm_lv(clips), tmp_path / "a").notes)
    release = samm([Clip(6, "006_1_2", "Anger")])
    release.frames = {}
    release.write(tmp_path / "a")
    index = ADAPTERS["samm-lv"].index(tmp_path / "a")
    assert [(video.clip, video.raw_label) for video in index.videos] == [
        ("006_1_2", "Anger"),
        ("006_1_2_macro_1", ""),
    ]


def test_a_table_of_samm_long_videos_without_a_header_is_read_by_position(tmp_path):
    release = samm_lv([Clip(6, "006_1_2", "", 10, 12, 14), Clip(7, "007_3_1", "", 1, 2, 9)])
    release.rows = [[row.get(name, "") for name in release.header] for row in release.rows]
    release.header = None
    assert len(read(release, tmp_path).videos) == 2


def test_onset_zero_of_a_long_video_lies_before_it(tmp_path):
    clip = Clip(6, "006_1_2", "", 0, 4, 9, kind="macro", on_disk=range(1, 15))
    (video,) = read(samm_lv([clip]), tmp_path).videos
    assert numbers(video) == list(range(1, 10))
    assert (video.key_frames.onset, video.key_frames.onset_source) == (None, "absent")


def test_casme_squared_leads_from_participants_to_folders(tmp_path):
    clips = [Clip(19, "anger1_1", "negative"), Clip(15, "disgust1_2", "surprise")]
    index = read(casme_sq(clips), tmp_path)
    assert [(video.subject, video.folder.split("/")[-1]) for video in index.videos] == [
        ("s15", "15_0101disgustingteeth"),
        ("s19", "19_0401girlcrashing"),
    ]


def test_mixed_emotions_of_4dme_take_part_in_no_mapping_to_one_class(tmp_path):
    clips = [Clip(1, "1_a", "Surprise+Positive"), Clip(2, "2_b", "Surprise")]
    document = read(four_dme(clips), tmp_path).document("5")
    assert (document.found, document.videos) == (2, 1)
    assert document.clips[0].labels == {}
    assert document.clips[0].raw_label == "Surprise+Positive"


def test_frames_of_4dme_that_are_numbered_from_one_are_taken_in_order(tmp_path):
    clip = Clip(1, "1_a", "Positive", 101, 103, 106, on_disk=range(1, 7))
    index = read(four_dme([clip]), tmp_path)
    (video,) = index.videos
    assert numbers(video) == [1, 2, 3, 4, 5, 6]
    frames = video.key_frames
    assert (frames.onset, frames.apex, frames.offset) == (1, 3, 6)
    assert any("numbered from the start" in note for note in index.notes)


def test_affwild2_matches_labels_and_crops_by_number(tmp_path):
    labels = {"12-24": [4, -1, 0, 7, 6], "5_left": [1, 1, 1], "gone": [0], "ignored": [-1, -1]}
    crops = {"12-24": [1, 2, 4, 5, 6], "5_left": [1, 3], "gone": [], "ignored": [1, 2]}
    index = read(affwild2(labels, crops), tmp_path)
    first, second = index.videos
    assert numbers(first) == [1, 4, 5]
    assert first.frame_labels == ("happiness", "other", "surprise")
    assert first.missing == (3,)
    assert second.annotations == {
        "partition": "validation",
        "recording": "5",
        "expression": "macro",
    }
    assert {one.clip: one.code for one in index.rejected} == {
        "gone": "no-folder",
        "ignored": "no-frames",
    }
    document = index.document("7")
    assert document.counted == "frames"
    assert document.by_class["anger"] == 2
    assert "other" not in document.by_class
    assert any("1 frame(s) beyond the 5 labels" in note for note in index.notes)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise\n6\n-1\n", ["surprise", ""]),
        ("7\n0\n\n", ["other", "neutral"]),
    ],
)
def test_labels_of_both_releases_of_affwild2(tmp_path, text, labels):
    path = tmp_path / "a.txt"
    path.write_text(text)
    assert read_labels(path) == labels


@pytest.mark.parametrize("line", ["happy", "9", "1.5"])
def test_a_garbled_label_rejects_the_video(tmp_path, line):
    release = affwild2({"a": [0], "b": [0, 1]}, {"a": [1], "b": [1, 2]})
    path = next(path for path in release.texts if path.endswith("/b.txt"))
    release.texts[path] += f"{line}\n"
    index = read(release, tmp_path)
    assert [video.clip for video in index.videos] == ["a"]
    assert [(one.clip, one.code) for one in index.rejected] == [("b", "garbled-annotation")]


def write_video(path, frames, codec):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (64, 48))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((48, 64, 3), 10 * number, dtype=np.uint8))
    writer.release()


def test_own_videos_and_folders(tmp_path):
    write_video(tmp_path / "videos/a.avi", 12, "MJPG")
    write_video(tmp_path / "videos/b.mp4", 10, "mp4v")
    write_video(tmp_path / "videos/c.MOV", 9, "mp4v")
    (tmp_path / "frames/d").mkdir(parents=True)
    for number in (7, 9, 10):
        (tmp_path / f"frames/d/img{number}.png").touch()
    rows = [
        ["Path ", "SUBJECT", "label", "onset", "apex", "offset"],
        ["videos/a.avi", "anna", "Surprise", "3", "5", "8"],
        ["videos\\b.mp4", "ben", "happiness", "", "", ""],
        ["videos/c.MOV", "ben", "surprise", "", "", ""],
        ["frames/d", "anna", "happiness", "", "", ""],
        ["videos/none.mp4", "anna", "happiness", "", "", ""],
        ["clips.csv", "anna", "happiness", "", "", ""],
        ["videos/a.avi", "anna", "surprise", "50", "", "60"],
        ["videos/a.avi", "", "surprise", "", "", ""],
    ]
    write_table(tmp_path / "clips.csv", {"": rows})
    index = ADAPTERS["custom"].index(tmp_path)
    found = {video.clip: numbers(video) for video in index.videos}
    assert found == {
        "a": [3, 4, 5, 6, 7, 8],
        "b": list(range(10)),
        "c": list(range(9)),
        "d": [7, 9, 10],
    }
    assert [one.code for one in index.rejected] == [
        "impossible-row",
        "no-frames",
        "unreadable-video",
        "unreadable-video",
    ]
    document = index.document("all")
    assert document.classes == {"all": ("happiness", "surprise")}
    assert document.by_class == {"happiness": 2, "surprise": 2}


def test_three_classes_mean_the_same_in_every_database():
    tables = {
        database: dict(label_mapping(mappings, "3").table)
        for database, mappings in LABEL_MAPPINGS.items()
        if any(mapping.name == "3" for mapping in mappings)
    }
    assert len(tables) >= 13
    valences = tables["samm"]
    assert valences["repression"] == "negative" and "others" not in valences
    published = tables.pop("casme2")  # without sadness and fear
    assert published == {
        word: valences[word] for word in ("disgust", "repression", "happiness", "surprise")
    }
    assert all(table == valences for table in tables.values())


def test_an_unknown_mapping_names_those_there_are(tmp_path):
    index = read(samm([Clip(6, "006_1_2", "Anger")]), tmp_path)
    with pytest.raises(ConfigError, match="no mapping '6'; there are 5, 3, megc2019"):
        index.document("6")
