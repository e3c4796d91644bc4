"""Test sets whose truth is kept by their owners: listed by any name, never learned from."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_model.cli import main as moltrain
from mol_pipeline.cli import main as molprep
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.registry import ADAPTERS
from tests.databases.releases import Clip, samm


def frames(root, *folders, count=4):
    for folder in folders:
        place = root / folder
        place.mkdir(parents=True)
        for number in range(1, count + 1):
            (place / f"{number:05d}.jpg").touch()
    return root


def read(root, **options):
    return ADAPTERS["megc-unseen"].index(root, **options)


def test_every_folder_with_frames_is_a_clip_and_a_person(tmp_path):
    frames(tmp_path, "SAMM_Test/11", "SAMM_Test/12", "CAS_Test/3/color", "CAS_Test/3/depth")
    index = read(tmp_path)
    assert [(one.clip, one.person, one.folder) for one in index.videos] == [
        ("11", "megc-unseen/11", "SAMM_Test/11"),
        ("12", "megc-unseen/12", "SAMM_Test/12"),
        ("3", "megc-unseen/3", "CAS_Test/3/color"),
    ]
    assert {len(one.frames) for one in index.videos} == {4}
    assert index.document().classes == {"all": ()}
    assert not index.rejected


def test_videos_of_one_number_in_two_sets_are_two(tmp_path):
    frames(tmp_path, "SAMM_Test/1", "CAS_Test/1", "CAS_Test/2")
    assert [one.clip for one in read(tmp_path).videos] == ["2", "CAS_Test-1", "SAMM_Test-1"]


def test_cropped_copies_are_no_further_videos(tmp_path):
    frames(tmp_path, "SAMM_Test/1", "SAMM_Test/2", "SAMM_Test_cropped/1", "SAMM_Test_cropped/2")
    index = read(tmp_path)
    assert [one.folder for one in index.videos] == ["SAMM_Test/1", "SAMM_Test/2"]
    assert "also there, not used: SAMM_Test_cropped; choose with --frames" in index.notes
    cropped = read(tmp_path, frames="SAMM_Test_cropped")
    assert [one.clip for one in cropped.videos] == ["1", "2"]


PLACES = st.lists(
    st.tuples(st.sampled_from("ABC"), st.sampled_from(["1", "2", "CAS-1", "video 3"])),
    min_size=1,
    max_size=6,
    unique=True,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(places=PLACES, doubled=st.booleans(), below=st.sampled_from(["", "/color", "/img"]))
def test_no_video_is_lost_and_none_counts_twice(tmp_path_factory, places, doubled, below):
    root = tmp_path_factory.mktemp("unseen")
    above = "release/release/" if doubled else ""
    frames(root, *(f"{above}{upper}/{lower}{below}" for upper, lower in places))
    index = read(root)
    assert len({one.person for one in index.videos}) == len(places)
    assert {one.folder for one in index.videos} == {
        f"{above}{upper}/{lower}{below}" for upper, lower in places
    }


def test_films_are_named_with_what_reads_them(tmp_path):
    frames(tmp_path, "A/1")
    (tmp_path / "A/2.mp4").touch()
    index = read(tmp_path)
    assert len(index.videos) == 1
    (warning,) = index.warnings
    assert warning.startswith("1 film(s) are not read here, e.g. A/2.mp4")


def test_a_table_is_refused(tmp_path):
    with pytest.raises(SourceError, match="the unseen sets have no table"):
        read(frames(tmp_path, "A/1"), annotation=tmp_path / "t.xlsx")


@pytest.mark.parametrize("protocol", ["loso", "k-fold", "owners-split", "all"])
def test_training_refuses_them_by_name_alone_and_beside_others(tmp_path, protocol):
    written = {}
    for name, root in (
        ("megc-unseen", frames(tmp_path / "unseen", "A/1", "A/2")),
        ("samm", samm([Clip(6, "006_1_2", "Anger")]).write(tmp_path / "samm")),
    ):
        command = ["index", "--dataset", name, "--root", str(root), "--json"]
        result = CliRunner().invoke(molprep, command)
        assert result.exit_code == 0, result.output
        written[name] = tmp_path / f"{name}.json"
        written[name].write_text(json.dumps(json.loads(result.stdout)))
    for names in (["megc-unseen"], ["samm", "megc-unseen"]):
        indexes = [word for name in names for word in ("--index", str(written[name]))]
        result = CliRunner().invoke(moltrain, ["folds", "--protocol", protocol, *indexes])
        assert result.exit_code == 3, result.output
        assert "megc-unseen: its owners keep the truth" in result.stderr
