"""What is odd about a copy changes the report, never the clips."""

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mol_pipeline.databases.registry import ADAPTERS
from tests.databases.releases import Clip, casme3, examples, mmew, samm

NAMES = sorted(examples())


def identities(index):
    """Everything about the clips but the place of their folder."""
    return [dataclasses.replace(video, folder="") for video in index.videos]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What each adapter finds in a release without oddities."""
    found = {}
    for name, release in examples().items():
        index = ADAPTERS[name].index(release.write(tmp_path_factory.mktemp("plain") / "db"))
        assert not index.rejected
        assert len(index.videos) >= 2
        found[name] = identities(index)
    return found


@pytest.mark.parametrize("name", NAMES)
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    shuffle=st.one_of(st.none(), st.integers(0, 99)),
    extra=st.booleans(),
    shout=st.booleans(),
    numbers=st.sampled_from(["as is", "text", "float"]),
    above=st.sampled_from(["", "release", "MAIN/MAIN"]),
    junk=st.booleans(),
)
def test_oddities_change_nothing_but_the_report(plain, tmp_path_factory, name, **oddities):
    release = examples()[name]
    index = ADAPTERS[name].index(release.write(tmp_path_factory.mktemp("odd") / "db", **oddities))
    assert identities(index) == plain[name]
    assert ("doubled folder MAIN/MAIN" in index.notes) == (oddities["above"] == "MAIN/MAIN")


@pytest.mark.parametrize("name", NAMES)
def test_folders_in_another_case_are_found(plain, tmp_path, name):
    release = examples()[name]
    release.frames = {folder.swapcase(): names for folder, names in release.frames.items()}
    assert identities(ADAPTERS[name].index(release.write(tmp_path / "db"))) == plain[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_gap_is_reported_and_the_clip_kept(plain, tmp_path, name):
    release = examples()[name]
    video = plain[name][0]
    number, file = video.frames[2]
    for names in release.frames.values():
        if file in names and names[0].split(".")[-1] == file.split(".")[-1]:
            names.remove(file)
    index = ADAPTERS[name].index(release.write(tmp_path / "db"))
    assert len(index.videos) == len(plain[name])
    document = index.document()
    assert document.missing_frames[f"{video.subject}/{video.clip}"] == (number,)


@pytest.mark.parametrize("name", NAMES)
def test_an_impossible_row_is_rejected_with_a_reason_and_the_rest_kept(plain, tmp_path, name):
    release = examples()[name]
    odd = dict(release.rows[0]) if isinstance(release.rows[0], dict) else list(release.rows[0])
    if isinstance(odd, dict):
        onset = next(key for key in odd if key.lower().startswith("onset"))
        name_column = next(key for key in odd if key.lower() in {"filename", "fold_name", "count"})
        odd[onset] = "soon"
        odd[name_column] = {"smic-e-hs": "s1_ne_09", "mmew": "S01-01-009"}.get(name, "006_9_9")
        rejected_for = {"smic-e-hs": "no-long-video"}.get(name, "impossible-row")
    else:
        odd[1], odd[2], rejected_for = "anger1_9", "soon", "impossible-row"
    release.rows.insert(0, odd)
    index = ADAPTERS[name].index(release.write(tmp_path / "db"))
    assert identities(index) == plain[name]
    (rejected,) = index.rejected
    assert rejected.code == rejected_for
    assert "annotation row" in rejected.message


@pytest.mark.parametrize("name", NAMES)
def test_a_row_that_is_there_twice_counts_once(plain, tmp_path, name):
    release = examples()[name]
    release.rows.insert(1, release.rows[0])
    index = ADAPTERS[name].index(release.write(tmp_path / "db"))
    assert identities(index) == plain[name]
    assert [one.code for one in index.rejected] == ["duplicate-row"]


def test_both_orders_of_mmew_are_read(tmp_path, plain):
    clips = [Clip(1, "S01-01-001", "happiness", 1, 2, 4), Clip(3, "S03-04-002", "others", 1, 2, 4)]
    root = mmew(clips, subject_first=True).write(tmp_path)
    assert identities(ADAPTERS["mmew"].index(root)) == plain["mmew"]


def test_whole_videos_of_casme3_give_the_same_clips(tmp_path, plain):
    clips = [
        Clip(1, "b", "disgust", 166, 168, 171),
        Clip(1, "b", "Others", 200, 200, 204),
        Clip(14, "J", "happy", 1012, 1014, 1015),
    ]
    index = ADAPTERS["casme3"].index(casme3(clips, whole=True).write(tmp_path))
    assert identities(index) == plain["casme3"]


def test_a_linked_release_is_followed_and_a_circle_ends(tmp_path):
    release = samm([Clip(6, "006_1_2", "Anger")])
    elsewhere = release.write(tmp_path / "disk")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    assert [video.clip for video in ADAPTERS["samm"].index(root).videos] == ["006_1_2"]
