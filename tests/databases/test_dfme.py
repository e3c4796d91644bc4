"""DFME: three tables, people who may be in several parts, and what nobody has published of it."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mol_model.protocols.folds import make_folds, sample_of
from mol_model.protocols.plan import read_protocol
from mol_pipeline.cli import main as molprep
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.labels import LABEL_MAPPINGS
from mol_pipeline.databases.adapters.dfme import parts_meant, subject_name
from mol_pipeline.databases.registry import ADAPTERS
from tests.databases.releases import DFME_TREES, Clip, dfme, write_table

PROTOCOLS = Path(__file__).parents[2] / "manifests/protocols"
WORDS = ("happiness", "anger", "contempt", "disgust", "fear", "sadness", "surprise")


def three_parts(root, training=(1, 2), test_a=(3,), test_b=(4,), *, words=("Fear",)):
    """Each person with a clip of each word, in the parts that they are named for."""
    given = (("training", training, 1), ("test_A", test_a, 31), ("test_B", test_b, 61))
    for part, people, first in given:
        clips = [
            Clip(person, f"sub{person:04d}_{number:02d}", word, 5, 5, 6)
            for person in people
            for number, word in enumerate(words, start=first)
        ]
        dfme(clips, part).write(root)
    return root


def read(root, **options):
    return ADAPTERS["dfme"].index(root, **options)


def parts(index):
    return {video.clip: video.annotations["partition"] for video in index.videos}


def test_every_clip_has_the_part_of_its_table_and_its_folder(tmp_path):
    index = read(three_parts(tmp_path))
    assert parts(index) == {
        "sub0001_01": "training",
        "sub0002_01": "training",
        "sub0003_31": "test-a",
        "sub0004_61": "test-b",
    }
    assert "no person is in two of the parts training, test-a, test-b" in index.notes
    assert not index.rejected
    assert not index.warnings
    assert {video.person for video in index.videos} == {f"dfme/sub000{n}" for n in (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("training_full_with_AU", {"training"}),
        ("DFME_training_full_with_AU", {"training"}),
        ("train_data", {"training"}),
        ("test_A_full_with_AU", {"test-a"}),
        ("testB_full_with_AU", {"test-b"}),
        ("dfme_test_a", {"test-a"}),
        ("test_data_B", {"test-b"}),
        ("TestSet-A", {"test-a"}),
        ("test", {"test-a", "test-b"}),
        ("test_annotation", {"test-a", "test-b"}),
        ("labels", set()),
    ],
)
def test_names_of_tables_and_folders_tell_their_part(name, meant):
    assert parts_meant(name) == meant


@pytest.mark.parametrize("text", ["sub0003", "3", "SUB3", "Subject_03", " 0003 "])
def test_a_subject_has_one_name_however_it_is_written(text):
    assert subject_name(text) == "sub0003"


def test_people_in_two_parts_are_named_and_never_on_both_sides(tmp_path):
    root = three_parts(tmp_path, (1, 2, 3, 5), (3, 4), (5,), words=WORDS)
    index = read(root)
    assert not index.rejected
    warned = "\n".join(index.warnings)
    assert "1 of 2 people of test-a are in training too (sub0003)" in warned
    assert "1 of 1 people of test-b are in training too (sub0005)" in warned
    document = read_protocol(PROTOCOLS / "dfme-7-owners-split.json")
    classes = LABEL_MAPPINGS["dfme"][0].classes
    samples = [sample_of(clip, "7", classes) for clip in index.document().clips]
    assert all(samples)
    for fold, shared in zip(
        make_folds(samples, classes, document.protocol), ("sub0003", "sub0005"), strict=True
    ):
        assert [samples[i].person for i in fold.left_out] == [f"dfme/{shared}"] * 7
        assert f"dfme/{shared}" not in {samples[i].person for i in fold.train}


def test_a_row_that_is_in_two_parts_is_kept_where_it_is_tested(tmp_path):
    for part in ("training", "test_A"):
        dfme([Clip(3, "sub0003_01", "Fear")], part).write(tmp_path)
    index = read(tmp_path)
    assert parts(index) == {"sub0003_01": "test-a"}
    (rejected,) = index.rejected
    assert (rejected.clip, rejected.code) == ("sub0003_01", "duplicate-row")
    assert "training_full_with_AU.xlsx" in rejected.message
    assert "first in test_A_full_with_AU.xlsx" in rejected.message


def test_another_event_of_the_same_name_keeps_its_own_frames(tmp_path):
    dfme([Clip(3, "sub0003_01", "Fear", 5, 5, 6)]).write(tmp_path)
    dfme([Clip(3, "sub0003_01", "Anger", 7, 8, 9)], "test_A").write(tmp_path)
    index = read(tmp_path)
    assert {(one.clip, one.raw_label, one.folder) for one in index.videos} == {
        ("sub0003_01", "Anger", "test_data_A/test_data_A/sub0003_01"),
        ("sub0003_01_training", "Fear", "train_data/train_data/sub0003_01"),
    }


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("test_data/test_data", True),
        ("somewhere", True),
        ("Test-A", True),
        ("test_data_B", False),
        ("train_data/train_data", False),
    ],
)
def test_frames_are_never_those_of_another_part(tmp_path, folder, found):
    three_parts(tmp_path, test_b=())
    release = dfme([Clip(9, "sub0009_01", "Fear")], "test_A")
    release.frames = {f"{folder}/sub0009_01": ["00005.png", "00006.png", "00007.png"]}
    index = read(release.write(tmp_path))
    assert ("sub0009_01" in parts(index)) == found
    if not found:
        (rejected,) = [one for one in index.rejected if one.clip == "sub0009_01"]
        assert (rejected.code, "of another part than test-a" in rejected.message) == (
            "no-folder",
            True,
        )


def test_a_row_whose_file_names_somebody_else_is_rejected(tmp_path):
    release = dfme([Clip(3, "sub0003_01", "Fear"), Clip(4, "sub0005_01", "Fear")])
    index = read(release.write(tmp_path))
    assert list(parts(index)) == ["sub0003_01"]
    (rejected,) = [one for one in index.rejected if one.code == "impossible-row"]
    assert "the row says sub0004, its file sub0005_01 says sub0005" in rejected.message


def test_emotions_that_are_none_of_the_seven_are_said_and_kept(tmp_path):
    clips = [Clip(1, "sub0001_01", "Fear"), Clip(1, "sub0001_02", "Astonished")]
    index = read(dfme(clips).write(tmp_path))
    assert "1 clip(s) have an emotion that is none of the seven ('astonished')" in index.warnings[0]
    labels = {clip.clip: clip.labels for clip in index.document().clips}
    assert labels["sub0001_01"] == {"7": "fear", "3": "negative"}
    assert labels["sub0001_02"] == {}


def test_a_test_table_without_emotions_is_listed_and_a_training_table_is_not(tmp_path):
    three_parts(tmp_path / "a", test_a=())
    blind = dfme([Clip(7, "sub0007_01", "")], "test_A")
    blind.header = [name for name in blind.header if name != "Emotion"]
    index = read(blind.write(tmp_path / "a"))
    assert parts(index)["sub0007_01"] == "test-a"
    assert any("test_A_full_with_AU.xlsx has no emotions" in text for text in index.warnings)
    blind = dfme([Clip(7, "sub0007_01", "")])
    blind.header = [name for name in blind.header if name != "Emotion"]
    with pytest.raises(SourceError, match=r"training_full_with_AU\.xlsx: no column 'Emotion'"):
        read(blind.write(tmp_path / "b"))


def test_a_part_alone_is_read_and_said(tmp_path):
    three_parts(tmp_path)
    table = tmp_path / "full_release_annotation/test_A_full_with_AU.xlsx"
    index = read(tmp_path, annotation=table)
    assert set(parts(index).values()) == {"test-a"}
    assert index.annotation == table
    assert "no table of training and test-b here: its clips are not listed" in index.notes
    folder = tmp_path / "full_release_annotation"
    assert parts(read(tmp_path, annotation=folder)) == parts(read(tmp_path))


def test_a_table_whose_name_names_no_part_is_refused(tmp_path):
    three_parts(tmp_path)
    folder = tmp_path / "full_release_annotation"
    (folder / "test_A_full_with_AU.xlsx").rename(folder / "test_full.xlsx")
    with pytest.raises(SourceError, match=r"test_full\.xlsx: its name says neither training"):
        read(tmp_path)


def test_without_a_table_the_owners_names_are_told(tmp_path):
    dfme([Clip(1, "sub0001_01", "Fear")]).write(tmp_path)
    (tmp_path / "full_release_annotation/training_full_with_AU.xlsx").unlink()
    with pytest.raises(SourceError, match=r"no DFME annotation .*put the owners' full_release_ann"):
        read(tmp_path)
    with pytest.raises(SourceError, match=r"nowhere: no annotation file there"):
        read(tmp_path, annotation=tmp_path / "nowhere")


def test_a_damaged_table_of_one_part_is_named_and_not_passed_over(tmp_path):
    three_parts(tmp_path)
    damaged = tmp_path / "full_release_annotation/test_B_full_with_AU.xlsx"
    damaged.write_bytes(damaged.read_bytes()[:900])
    with pytest.raises(SourceError, match=r"test_B_full_with_AU\.xlsx: cannot be read"):
        read(tmp_path)


def test_two_tables_of_a_part_must_agree(tmp_path):
    """Those with and without action units may lie side by side; the fuller one is read."""
    release = dfme([Clip(1, "sub0001_01", "Fear"), Clip(2, "sub0002_01", "Anger")])
    root = release.write(tmp_path)
    header = [name for name in release.header if name != "AU"]
    rows = [[row[name] for name in header] for row in release.rows]
    plain = tmp_path / "old/training.xlsx"
    write_table(plain, {"Sheet1": [header, *rows]})
    index = read(root)
    assert [video.annotations["action_units"] for video in index.videos] == ["4+L7", "4+L7"]
    assert "training_full_with_AU.xlsx is used; training.xlsx agree" in index.notes
    rows[0][2] += 1
    write_table(plain, {"Sheet1": [header, *rows]})
    with pytest.raises(SourceError, match=r"several annotations .*choose one with --annotation"):
        read(root)


def test_a_complete_copy_has_the_published_number_of_clips(tmp_path):
    """7,526 clips of 671 people; how many are in which part is not published."""
    people = [range(1, 500), range(500, 600), range(600, 672)]
    count, number = 0, dict.fromkeys(range(1, 672), 0)
    for part, group in zip(DFME_TREES, people, strict=True):
        share = 7526 - count if part == "test_B" else 7526 * len(group) // 671
        clips = []
        for k in range(share):
            person = group[k % len(group)]
            number[person] += 1
            word = WORDS[(count + k) % len(WORDS)].capitalize()
            clips.append(Clip(person, f"sub{person:04d}_{number[person]:02d}", word, 5, 5, 5))
        count += share
        dfme(clips, part).write(tmp_path)
    arguments = ["index", "--dataset", "dfme", "--root", str(tmp_path), "--strict"]
    result = CliRunner().invoke(molprep, [*arguments, "--classes", "7"])
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert "7526 clips that take part under mapping 7, 671 subjects" in result.stdout


def test_both_protocols_hold_over_all_parts(tmp_path):
    index = read(three_parts(tmp_path, range(1, 15), (20, 21), (30,), words=WORDS))
    classes = LABEL_MAPPINGS["dfme"][0].classes
    samples = [sample_of(clip, "7", classes) for clip in index.document().clips]
    ten = read_protocol(PROTOCOLS / "dfme-7-10-fold.json").protocol
    folds = make_folds(samples, classes, ten)
    assert len(folds) == 10
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(samples)))
    split = read_protocol(PROTOCOLS / "dfme-7-owners-split.json").protocol
    sizes = [
        (fold.name, len(fold.train), len(fold.test)) for fold in make_folds(samples, classes, split)
    ]
    assert sizes == [("test-a", 98, 14), ("test-b", 98, 7)]
    unknown = [replace(one, part="") for one in samples]
    assert len(make_folds(unknown, classes, ten)) == 10
