"""Copies that can be read in two ways: read in the right one, or refused by name."""

import shutil

import pytest

from mol_pipeline.cli import main
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.registry import ADAPTERS
from mol_pipeline.databases.tables import nearest_number, read_table
from tests.databases.releases import (
    Clip,
    casme2,
    casme_sq,
    four_dme,
    samm,
    samm_lv,
    smic,
    write_table,
)
from tests.in_process import invoke


def read(release, root, **arguments):
    return ADAPTERS[release.name].index(release.write(root), **arguments)


def numbers(video):
    return [number for number, _ in video.frames]


RENUMBERED = [
    Clip(1, "EP02_01f", "happiness", 20, 30, 60, on_disk=range(1, 42)),
    Clip(2, "EP03_02f", "others", 146, 150, 166, on_disk=range(1, 22)),
]


def test_casme2_numbered_anew_is_never_read_by_number(tmp_path):
    sound = Clip(3, "EP01_01", "disgust", 46, 59, 86)
    index = read(casme2([*RENUMBERED, sound]), tmp_path)
    assert [video.clip for video in index.videos] == ["EP01_01"]
    assert {one.code for one in index.rejected} == {"renumbered"}
    assert all("'--numbers anew' takes them in order" in one.message for one in index.rejected)


def test_casme2_numbered_anew_is_read_in_order_when_told(tmp_path):
    casme2(RENUMBERED).write(tmp_path)
    place = ["--dataset", "casme2", "--root", tmp_path]
    result = invoke(main, "index", *place, "--numbers", "anew", "--json")
    assert result.exit_code == 0, result.output
    assert "frames are numbered from the start of the clip; taken in order" in result.stdout
    index = ADAPTERS["casme2"].index(tmp_path, numbers="anew")
    first, second = index.videos
    assert numbers(first) == list(range(1, 42)) and numbers(second) == list(range(1, 22))
    frames = first.key_frames
    assert (frames.onset, frames.apex, frames.offset) == (1, 11, 41)
    assert "key frames moved by -19" in first.remarks[0]
    assert index.options.numbers == "anew"


def test_4dme_numbered_anew_is_recognised_where_the_ranges_overlap(tmp_path):
    clips = [
        Clip(1, "1_a", "Positive", 5, 8, 24, on_disk=range(1, 21)),
        Clip(1, "1_b", "Negative", 11, 15, 40, on_disk=range(30)),
        Clip(2, "2_a", "Surprise", 5, 8, 24, on_disk=range(1, 120)),  # a whole recording
        Clip(2, "2_b", "Surprise", 30, 35, 69, on_disk=range(1, 40)),  # one frame lost
    ]
    videos = read(four_dme(clips), tmp_path).videos
    assert [numbers(video) for video in videos] == [
        list(range(1, 21)),
        list(range(30)),
        list(range(5, 25)),
        list(range(1, 40)),
    ]
    keys = [(one.key_frames.onset, one.key_frames.apex, one.key_frames.offset) for one in videos]
    assert keys == [(1, 4, 20), (0, 4, 29), (5, 8, 24), (1, 6, 39)]
    assert "offset 40 cut to the last frame 39" in videos[3].remarks[0]


@pytest.mark.parametrize(
    ("text", "value", "exact"),
    [
        ("46", 46, True),
        (" 46.0 ", 46, True),
        ("46.", 46, True),
        ("123.7", 124, False),
        ("123.5", 124, False),
        ("122.5", 123, False),
        ("0.4", 0, False),
        ("1700000000123456789", 1_700_000_000_123_456_789, True),
        ("-1", -1, True),
        ("1e3", 1000, True),
        ("", None, True),
        ("NaN", None, True),
    ],
)
def test_the_nearest_frame(text, value, exact):
    assert nearest_number(text) == (value, exact)


@pytest.mark.parametrize(
    "text", ["-0.5", "-3.2", "soon", "1e400", "9" * 5000, "1e999999999", "1_000", "0x10", "12a"]
)
def test_what_is_no_frame(text):
    with pytest.raises(ValueError, match=r"number|negative") as caught:
        nearest_number(text)
    assert len(str(caught.value)) < 100


def test_fractions_of_casme_squared_are_rounded_and_counted(tmp_path):
    clips = [
        Clip(15, "anger1_1", "negative", 123.7, 130, 140.2, on_disk=range(100, 150)),
        Clip(19, "anger1_2", "positive", 5, 6, 8),
        Clip(19, "anger1_3", "positive", -0.5, 6, 8, on_disk=range(9)),
    ]
    index = read(casme_sq(clips), tmp_path)
    assert [numbers(video)[0] for video in index.videos] == [124, 5]
    assert index.videos[0].remarks == ("onset 123.7 rounded to 124", "offset 140.2 rounded to 140")
    assert any(note.startswith("2 frame number(s) of 1 row(s) are") for note in index.notes)
    (rejected,) = index.rejected
    assert "onset '-0.5' is negative" in rejected.message


def test_fractions_of_samm_long_videos_are_rounded(tmp_path):
    clips = [Clip(6, "006_1_2", "Anger", 23.5, 30, 41.49, kind="Macro", on_disk=range(1, 60))]
    (video,) = read(samm_lv(clips), tmp_path).videos
    assert (numbers(video)[0], numbers(video)[-1]) == (24, 41)
    assert len(video.remarks) == 2


@pytest.mark.parametrize("other", [None, "Anger", "Fear"])
def test_tables_of_one_name_are_compared(tmp_path, other):
    clip = Clip(6, "006_1_2", "Anger")
    release = samm([clip])
    release.write(tmp_path)
    elsewhere = tmp_path / "backup"
    elsewhere.mkdir()
    if other is None:
        shutil.copy(tmp_path / release.table, elsewhere)
    else:  # another file, by another program
        again = samm([Clip(6, "006_1_2", other)])
        again.notes, again.frames = 3, {}
        again.notes = 12
        again.sheet = "another title"
        again.write(elsewhere)
    if other == "Fear":
        with pytest.raises(SourceError, match="have one name and say different things"):
            ADAPTERS["samm"].index(tmp_path)
        index = ADAPTERS["samm"].index(tmp_path, annotation=elsewhere / release.table)
        assert index.videos[0].raw_label == "Fear"
        return
    index = ADAPTERS["samm"].index(tmp_path)
    assert f"annotation {release.table} is used; the same is in backup/{release.table}" in (
        index.notes
    )


@pytest.mark.parametrize("word", ["Anger", "Fear"])
def test_tables_of_samm_beside_the_long_videos_must_agree(tmp_path, word):
    clips = [Clip(6, "006_1_2", "Anger", kind="Micro", on_disk=range(20))]
    samm_lv(clips).write(tmp_path)
    for folder, emotion in (("a", "Anger"), ("b", word)):
        table = samm([Clip(6, "006_1_2", emotion)])
        table.frames = {}
        table.write(tmp_path / folder)
    if word == "Fear":
        with pytest.raises(SourceError, match="give clips of SAMM other emotions"):
            ADAPTERS["samm-lv"].index(tmp_path)
    else:
        index = ADAPTERS["samm-lv"].index(tmp_path)
        assert index.videos[0].raw_label == "Anger"
        assert any("2 tables of SAMM with the same emotions" in note for note in index.notes)


COLUMNS = {"subject": ("Subject",), "onset": ("Onset", "OnsetFrame")}


def test_further_sheets_and_columns_are_said(tmp_path):
    path = tmp_path / "table.xlsx"
    header = ["Subject", "Onset", "OnsetFrame"]
    rows = [header, [1, 5, 6], [2, 7, 7]]
    write_table(path, {"one": rows, "two": [header, [1, 5, 5]], "three": rows, "four": [["x"]]})
    table = read_table(path, COLUMNS)
    assert [row.text("onset") for row in table] == ["5", "7"]
    assert table.notes == (
        "columns 'Onset' and 'OnsetFrame' are both onset and differ; the first is read",
        "sheet 'one' is read; 'two' has the same columns and other rows, not read",
    )


def test_folders_of_one_name_are_compared(tmp_path):
    release = samm([Clip(6, "006_1_2", "Anger", 5, 6, 8)])
    release.write(tmp_path)
    again = tmp_path / "again/006/006_1_2"
    shutil.copytree(tmp_path / "SAMM/006/006_1_2", again)

    index = ADAPTERS["samm"].index(tmp_path)
    assert "006/006_1_2: 2 folders: SAMM/006/006_1_2 used, equal ones" in index.notes

    (again / "006_00006.jpg").write_bytes(b"another picture")
    with pytest.raises(SourceError, match="hold as many of its frames, and not the same"):
        ADAPTERS["samm"].index(tmp_path)

    (again / "006_00006.jpg").unlink()
    index = ADAPTERS["samm"].index(tmp_path)
    assert "006/006_1_2: 2 folders: SAMM/006/006_1_2 used, the fullest" in index.notes
    assert index.videos[0].remarks == ("2 folders: SAMM/006/006_1_2 used, the fullest",)


def test_two_spellings_of_a_clip_of_smic_are_compared(tmp_path):
    smic([Clip(1, "s1_ne_01", "negative")]).write(tmp_path)
    (folder,) = tmp_path.rglob("s1_ne_01")
    other = folder.with_name("s01_ne_01")
    shutil.copytree(folder, other)
    next(other.iterdir()).write_bytes(b"x")
    with pytest.raises(SourceError, match="not the same"):
        ADAPTERS["smic-hs"].index(tmp_path)
