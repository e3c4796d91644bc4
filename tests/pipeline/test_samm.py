"""The SAMM adapter on fake trees with the release's oddities."""

import random

import pytest

from mol_pipeline.databases.samm import Samm
from mol_pipeline.errors import SourceError
from tests.fakes import SAMM_HEADER, FakeClip, write_samm_table, write_samm_tree

CLIPS = [
    FakeClip("006_1_2", 5562, 5580, 5600, "Anger"),
    FakeClip("006_1_3", 9995, 10001, 10010, "Happiness"),
    FakeClip("007_2_1", 40, 50, 60, "Other"),
]


def test_reads_clips_labels_and_key_frames(tmp_path):
    index = Samm().index(write_samm_tree(tmp_path, CLIPS))

    assert [video.clip for video in index.videos] == ["006_1_2", "006_1_3", "007_2_1"]
    first = index.videos[0]
    assert (first.subject, first.raw_label, first.folder) == ("006", "Anger", "SAMM/006/006_1_2")
    frames = first.key_frames
    assert (frames.onset, frames.apex, frames.offset) == (5562, 5580, 5600)
    assert frames.apex_source == "annotated"
    assert len(first.frames) == 39
    assert not index.rejected and not index.corrections


def test_frames_are_sorted_by_number_and_cut_to_the_annotated_interval(tmp_path):
    clip = FakeClip("006_1_3", 9995, 10001, 10010, frames=range(9990, 10021))
    (video,) = Samm().index(write_samm_tree(tmp_path, [clip])).videos
    assert [number for number, _ in video.frames] == list(range(9995, 10011))


def test_four_digit_and_unpadded_frame_names_are_read_by_number(tmp_path):
    root = write_samm_tree(tmp_path, [FakeClip("009_6_1", 9, 10, 11)])
    folder = root / "SAMM/009/009_6_1"
    (folder / "009_00010.jpg").rename(folder / "009_10.JPG")
    (video,) = Samm().index(root).videos
    assert [number for number, _ in video.frames] == [9, 10, 11]


def test_gaps_are_reported_not_fatal(tmp_path):
    clip = FakeClip("006_1_2", 10, 20, 30, frames=[n for n in range(11, 31) if n not in (15, 16)])
    (video,) = Samm().index(write_samm_tree(tmp_path, [clip])).videos
    assert video.missing == (10, 15, 16)


@pytest.mark.parametrize("folder", ["SAMM/SAMM", "samm", "."])
def test_doubled_lower_case_or_absent_top_folder_changes_nothing(tmp_path, folder):
    index = Samm().index(write_samm_tree(tmp_path, CLIPS, folder=folder))
    assert len(index.videos) == len(CLIPS)


def test_junk_files_change_nothing(tmp_path):
    root = write_samm_tree(tmp_path, CLIPS)
    folder = root / "SAMM/006/006_1_2"
    for name in ("Thumbs.db", "._006_05563.jpg", "Desktop - Shortcut.lnk", "notes.txt"):
        (folder / name).touch()
    (root / "~$SAMM_Micro_FACS_Codes_v2.xlsx").touch()
    assert len(Samm().index(root).videos[0].frames) == 39


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_extra_and_shouted_columns_change_nothing(tmp_path, seed):
    root = write_samm_tree(tmp_path, CLIPS)
    expected = Samm().index(root).videos
    header = [*SAMM_HEADER, "", "Remarks of ours"]
    random.Random(seed).shuffle(header)
    table = root / "SAMM_Micro_FACS_Codes_v2.xlsx"
    rows = [clip.row for clip in CLIPS]
    write_samm_table(table, rows, header=header, notes=seed, shout=bool(seed % 2))
    assert Samm().index(root).videos == expected


@pytest.mark.parametrize("number", ["5562", "5562.0", " 5562 ", 5562, 5562.0])
def test_numbers_may_be_text_or_float(tmp_path, number):
    root = write_samm_tree(tmp_path, CLIPS[:1])
    row = {**CLIPS[0].row, "Onset Frame": number}
    write_samm_table(root / "SAMM_Micro_FACS_Codes_v2.xlsx", [row])
    assert Samm().index(root).videos[0].key_frames.onset == 5562


@pytest.mark.parametrize(
    ("onset", "apex", "offset", "words"),
    [
        (50, 45, 40, "onset 50 does not come before offset 40"),
        (10, 99, 40, "apex 99 lies outside onset 10 .. offset 40"),
        ("soon", 20, 40, "could not convert"),
        ("", 20, 40, "is not annotated"),
    ],
)
def test_an_impossible_row_is_rejected_and_the_rest_kept(tmp_path, onset, apex, offset, words):
    odd = FakeClip("020_1_1", onset, apex, offset, frames=range(10, 41))
    index = Samm().index(write_samm_tree(tmp_path, [*CLIPS, odd]))
    assert len(index.videos) == len(CLIPS)
    (rejected,) = index.rejected
    assert (rejected.clip, rejected.code) == ("020_1_1", "impossible-row")
    assert words in rejected.message
    assert "annotation row 18" in rejected.message


@pytest.mark.parametrize("apex", ["/", "?", "", "nan"])
def test_a_missing_apex_is_allowed_and_said(tmp_path, apex):
    clip = FakeClip("006_1_2", 10, apex, 30)
    (video,) = Samm().index(write_samm_tree(tmp_path, [clip])).videos
    assert video.key_frames.apex is None
    assert video.key_frames.apex_source == "absent"


def test_known_typo_is_corrected_logged_and_can_be_left(tmp_path):
    clip = FakeClip("032_3_1", 4896, 1930, 4960)
    root = write_samm_tree(tmp_path, [clip])

    index = Samm().index(root)
    assert index.videos[0].key_frames.apex == 4930
    assert index.videos[0].key_frames.apex_source == "corrected"
    assert [(c.clip, c.wrong, c.right) for c in index.corrections] == [("032_3_1", "1930", "4930")]

    untouched = Samm().index(root, apply_corrections=False)
    assert [one.code for one in untouched.rejected] == ["impossible-row"]


def test_a_correction_leaves_a_copy_that_is_already_right(tmp_path):
    index = Samm().index(write_samm_tree(tmp_path, [FakeClip("032_3_1", 4896, 4945, 4960)]))
    assert index.videos[0].key_frames.apex == 4945
    assert not index.corrections


def test_folders_and_rows_without_partner_are_listed(tmp_path):
    root = write_samm_tree(tmp_path, CLIPS)
    (root / "SAMM/008/008_1_1").mkdir(parents=True)
    lonely = FakeClip("030_1_1", 10, 20, 30).row
    rows = [*(clip.row for clip in CLIPS), lonely]
    write_samm_table(root / "SAMM_Micro_FACS_Codes_v2.xlsx", rows)
    codes = {one.clip: one.code for one in Samm().index(root).rejected}
    assert codes == {"008_1_1": "not-annotated", "030_1_1": "no-folder"}


def test_published_counts_are_compared_unless_synthetic(tmp_path):
    root = write_samm_tree(tmp_path, CLIPS)
    counts = {check.what: (check.found, check.expected) for check in Samm().index(root).counts}
    assert counts["videos"] == (3, 159)
    assert counts["videos in 3 classes"] == (2, 133)

    (root / "SYNTHETIC.json").write_text('{"synthetic": true}')
    index = Samm().index(root)
    assert index.synthetic and index.counts == ()


def test_missing_empty_file_and_zip_roots_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "SAMM.zip").touch()
    for root, words in [
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / "empty", "is empty"),
        (tmp_path / "SAMM.zip", "unpack it first"),
    ]:
        with pytest.raises(SourceError, match=words) as caught:
            Samm().index(root)
        assert str(root) in str(caught.value)


def test_no_two_damaged_and_foreign_spreadsheets_are_named(tmp_path):
    root = write_samm_tree(tmp_path, CLIPS)
    table = root / "SAMM_Micro_FACS_Codes_v2.xlsx"

    table.with_name("SAMM_20181215_Micro_FACS_Codes_v2.xlsx").write_bytes(table.read_bytes())
    with pytest.raises(SourceError, match="several annotations"):
        Samm().index(root)
    table.with_name("SAMM_20181215_Micro_FACS_Codes_v2.xlsx").unlink()

    table.write_bytes(table.read_bytes()[:200])
    with pytest.raises(SourceError, match="cannot be read as a spreadsheet"):
        Samm().index(root)

    write_samm_table(table, [{"Name": "x"}], header=["Name"])
    with pytest.raises(SourceError, match="no row holds a cell 'subject'"):
        Samm().index(root)

    table.unlink()
    with pytest.raises(SourceError, match="no SAMM annotation"):
        Samm().index(root)
