"""CAS(ME)^3 part C: whole videos of a mock crime, no apex, an older table beside it."""

import pytest
from click.testing import CliRunner

from mol_pipeline.cli import main as molprep
from mol_pipeline.databases.registry import ADAPTERS
from tests.databases.releases import Clip, casme3, casme3_c, write_table

PUBLISHED = {"negative": 99, "surprise": 30, "others": 20, "positive": 16}


def read(root, **options):
    return ADAPTERS["casme3-c"].index(root, **options)


def test_a_complete_copy_has_the_published_counts(tmp_path):
    words = [word for word, many in PUBLISHED.items() for _ in range(many)]
    clips = [
        Clip(k % 30 + 1, str(k // 30 + 1), word, 10 * k + 1, "", 10 * k + 4)
        for k, word in enumerate(words)
    ]
    root = casme3_c(clips).write(tmp_path)
    command = ["index", "--dataset", "casme3-c", "--root", str(root), "--strict", "--classes"]
    for mapping, videos in (("4", 165), ("3", 145)):
        result = CliRunner().invoke(molprep, [*command, mapping])
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        assert f"{videos} clips that take part under mapping {mapping}" in result.stdout
    index = read(root)
    assert {video.key_frames.apex_source for video in index.videos} == {"absent"}
    assert index.videos[0].annotations["action_units"] == "1\uff0c2"
    assert index.videos[0].action_units.complete


def test_the_older_table_is_not_used_where_both_are_there(tmp_path):
    release = casme3_c([Clip(1, "1", "negative", 1, "", 4), Clip(2, "1", "positive", 1, "", 4)])
    root = release.write(tmp_path)
    older = root / "annotation/CAS(ME)3_part_C.xlsx"
    rows = [[row[name] for name in release.header] for row in release.rows]
    write_table(older, {"Sheet1": [list(release.header), [*rows[0][:3], 3, *rows[0][4:]]]})
    index = read(root)
    assert len(index.videos) == 2
    assert any("it supersedes CAS(ME)3_part_C.xlsx" in note for note in index.notes)
    (alone,) = read(root, annotation=older).videos
    assert alone.key_frames.offset == 3
    (root / release.table).unlink()
    assert [video.key for video in read(root).videos] == [alone.key]


@pytest.mark.parametrize("spelled", ["01", "1", "sub01", "spNO.1"])
def test_folders_of_a_subject_are_found_however_they_are_numbered(tmp_path, spelled):
    release = casme3_c([Clip(1, "1", "negative", 1, "", 4), Clip(11, "1", "negative", 1, "", 4)])
    release.frames = {
        place.replace("/01/", f"/{spelled}/"): names for place, names in release.frames.items()
    }
    index = read(release.write(tmp_path))
    assert [(one.subject, one.folder) for one in index.videos] == [
        ("01", f"part_C/{spelled}/a/color"),
        ("11", "part_C/11/a/color"),
    ]


def test_frames_of_part_a_are_never_those_of_part_c(tmp_path):
    casme3([Clip(1, "a", "disgust", 1, 2, 4)], whole=True).write(tmp_path)
    release = casme3_c([Clip(1, "1", "negative", 1, "", 4), Clip(2, "1", "others", 1, "", 4)])
    del release.frames["part_C/01/a/color"]
    index = read(release.write(tmp_path))
    assert [video.subject for video in index.videos] == ["02"]
    assert [(one.subject, one.code) for one in index.rejected] == [("01", "no-folder")]
    assert len(ADAPTERS["casme3"].index(tmp_path).videos) == 1


def test_two_events_of_a_subject_that_begin_together_are_two_clips(tmp_path):
    clips = [Clip(1, "1", "negative", 1, "", 4), Clip(1, "1", "surprise", 1, "", 6)]
    assert [one.clip for one in read(casme3_c(clips).write(tmp_path)).videos] == ["1_1", "1_1_6"]
