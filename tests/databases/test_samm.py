"""The rules that all adapters share, on SAMM."""

import pytest

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.adapters.samm import Samm
from tests.databases.releases import Clip, samm

CLIPS = [
    Clip(6, "006_1_2", "Anger", 5562, 5580, 5600),
    Clip(6, "006_1_3", "Happiness", 9995, 10001, 10010),
    Clip(7, "007_2_1", "Other", 40, 50, 60),
]


def read(root, clips=CLIPS, **arguments):
    return Samm().index(samm(clips).write(root), **arguments)


def test_reads_clips_labels_and_key_frames(tmp_path):
    index = read(tmp_path)
    assert [video.clip for video in index.videos] == ["006_1_2", "006_1_3", "007_2_1"]
    first = index.videos[0]
    assert (first.subject, first.person) == ("006", "samm/006")
    assert (first.raw_label, first.folder) == ("Anger", "SAMM/006/006_1_2")
    assert first.annotations["action_units"] == "L12+A/L7"
    frames = first.key_frames
    assert (frames.onset, frames.apex, frames.offset) == (5562, 5580, 5600)
    assert frames.apex_source == "annotated"
    assert len(first.frames) == 39
    assert not index.rejected
    assert not index.corrections


def test_frames_are_sorted_by_number_and_cut_to_the_annotated_interval(tmp_path):
    clip = Clip(6, "006_1_3", "Anger", 9995, 10001, 10010, on_disk=range(9990, 10021))
    (video,) = read(tmp_path, [clip]).videos
    assert [number for number, _ in video.frames] == list(range(9995, 10011))


def test_four_digit_and_unpadded_frame_names_are_read_by_number(tmp_path):
    root = samm([Clip(9, "009_6_1", "Anger", 9, 10, 11)]).write(tmp_path)
    folder = root / "SAMM/009/009_6_1"
    (folder / "009_00010.jpg").rename(folder / "009_10.JPG")
    (video,) = Samm().index(root).videos
    assert [number for number, _ in video.frames] == [9, 10, 11]


@pytest.mark.parametrize(
    ("onset", "apex", "offset", "words"),
    [
        (50, 45, 40, "onset 50 does not come before offset 40"),
        ("soon", 20, 40, "onset 'soon' is no number"),
        ("", 20, 40, "onset is not annotated"),
        (10, 20, 40.5, "offset '40.5' is no whole number"),
        (-10, 20, 40, "onset -10 is negative"),
    ],
)
def test_an_impossible_row_says_why(tmp_path, onset, apex, offset, words):
    odd = Clip(20, "020_1_1", "Anger", onset, apex, offset, on_disk=range(10, 41))
    index = read(tmp_path, [*CLIPS, odd])
    assert len(index.videos) == len(CLIPS)
    (rejected,) = index.rejected
    assert (rejected.clip, rejected.code) == ("020_1_1", "impossible-row")
    assert words in rejected.message
    assert "annotation row 18" in rejected.message


@pytest.mark.parametrize("apex", ["/", "?", "", "nan", 0])
def test_a_missing_apex_is_allowed_and_said(tmp_path, apex):
    (video,) = read(tmp_path, [Clip(6, "006_1_2", "Anger", 10, apex, 30)]).videos
    assert video.key_frames.apex is None
    assert video.key_frames.apex_source == "absent"


def test_known_typo_is_corrected_logged_and_can_be_left(tmp_path):
    clip = Clip(32, "032_3_1", "Anger", 4896, 1930, 4960)
    index = read(tmp_path, [clip])
    assert index.videos[0].key_frames.apex == 4930
    assert index.videos[0].key_frames.apex_source == "corrected"
    assert [(c.clip, c.wrong, c.right) for c in index.corrections] == [("032_3_1", "1930", "4930")]

    index = Samm().index(tmp_path, corrections=False)
    assert index.videos[0].key_frames.apex is None
    assert index.videos[0].key_frames.apex_source == "absent"
    assert index.videos[0].remarks == (
        "apex 1930 lies outside onset 4896 .. offset 4960: left absent",
    )
    assert not index.corrections
    assert any(note.startswith("1 apex(es) lie outside their onset") for note in index.notes)


def test_a_correction_leaves_a_copy_that_is_already_right(tmp_path):
    index = read(tmp_path, [Clip(32, "032_3_1", "Anger", 4896, 4945, 4960)])
    assert index.videos[0].key_frames.apex == 4945
    assert not index.corrections


def test_folders_and_rows_without_partner_are_listed(tmp_path):
    release = samm([*CLIPS, Clip(30, "030_1_1", "Anger")])
    del release.frames["SAMM/030/030_1_1"]
    release.frames["SAMM/008/008_1_1"] = ["008_00001.jpg"]
    codes = {one.clip: one.code for one in Samm().index(release.write(tmp_path)).rejected}
    assert codes == {"008_1_1": "not-annotated", "030_1_1": "no-folder"}


def test_published_counts_are_compared_unless_synthetic(tmp_path):
    counts = {check.what: (check.found, check.expected) for check in read(tmp_path).counts}
    assert counts["videos"] == (3, 159)
    assert counts["videos in 3 classes"] == (2, 133)
    assert counts["videos of subject 006"] == (2, 11)

    (tmp_path / "SYNTHETIC.json").write_text('{"synthetic": true}')
    index = Samm().index(tmp_path)
    assert index.synthetic
    assert index.counts == ()


def test_missing_empty_and_file_roots_are_named(tmp_path):
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
