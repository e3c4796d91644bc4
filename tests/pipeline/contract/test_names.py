"""Identities as names of files: no two share one, on any disk; ordinary ones stay as they are."""

import itertools
import unicodedata
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_pipeline.cli import main
from mol_pipeline.contract.manifest_file import read_manifest
from mol_pipeline.contract.names import (
    DASHED,
    MOST_BYTES,
    file_name,
    names_in_order,
    person_name,
)
from mol_pipeline.databases.names import DATABASES
from tests.in_process import invoke
from tests.model.shard_fixture import write_shards

run = partial(invoke, main)

HOSTILE = st.text(
    st.one_of(
        st.sampled_from(
            'aAbBpPeE01sS-_. ~#@+/\\:*?"<>|%\0\nßſKéüİıか\u3099\u0301ᄀ\u1161가한张伟ªﬁ'
        ),
        st.characters(),
    ),
    max_size=12,
)
WORDS = st.sampled_from(
    ["samm", "smic", "smic-hs", "hs", "hs-01", "01", "1", "Anna", "anna", "ann a", "ann-a", "..",
     "con", "aux.b", "x.png", "EP02_01f", "ep02_01f", "Ep02_01F", "spNO.1", "spno.1", "", "x" * 300,
     "x" * 301, "~", "é", "e\u0301", "ŉ", "to", "a-to", "\udcff"]
)  # fmt: skip
IDENTITY = st.tuples(HOSTILE | WORDS, HOSTILE | WORDS)


def as_on_disk(name):
    """What a disk that knows neither case nor Unicode forms takes a name for."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold()).upper()


def is_safe(name):
    return (
        0 < len(name.encode()) <= MOST_BYTES
        and not set(name) & set('/\\:*?"<>|%\0\n ')
        and name[0] not in ".-~"
        and name[-1] not in ". "
        and name.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    )


@settings(max_examples=600, deadline=None, derandomize=True)
@given(one=IDENTITY, other=IDENTITY)
def test_two_identities_have_two_names_on_any_disk(one, other):
    for parts in (1, 2):
        first, second = file_name(*one[:parts]), file_name(*other[:parts])
        assert is_safe(first) and is_safe(second)
        assert (as_on_disk(first) == as_on_disk(second)) == (one[:parts] == other[:parts])


def test_words_that_meet_on_some_disk_are_told_apart():
    words = ["samm", "smic", "smic-hs", "hs", "hs-01", "01", "a", "A", "a-to", "to-a", "a b", "a-b"]
    words += ["..", ".", "", "con", "CON", "é", "e\u0301", "É", "a.png", "a/b", "/", "EP1", "ep1"]
    for count in (1, 2, 3):
        identities = list(itertools.product(words, repeat=count))
        names = {as_on_disk(file_name(*identity)) for identity in identities}
        assert len(names) == len(identities)
    people = ["samm/006", "samm-006", "s", "s/", "/s", "custom/a/b", "custom/a-b", "custom-a/b"]
    assert len({as_on_disk(person_name(person)) for person in people}) == len(people)


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        (("samm", "006"), "samm-006"),
        (("smic-hs", "s01"), "smic-hs-s01"),
        (("casme2", "sub01", "EP02_01f"), "casme2-sub01-EP02_01f"),
        (("casme3", "spNO.1"), "casme3-spNO.1"),
        (("custom", "anna-maria"), "custom-anna-maria"),
        (("custom", "张伟"), "custom-张伟"),
        (("006_1_2",), "006_1_2"),
        (("film_04@00012",), "film_04@00012"),
    ],
)
def test_ordinary_names_stay_as_people_write_them(identity, name):
    assert file_name(*identity) == name


def test_every_database_with_a_dash_is_known():
    assert set(DASHED) == {name for name in DATABASES if "-" in name}
    for name in DATABASES:
        assert file_name(name, "01") == f"{name}-01"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(wanted=st.lists(HOSTILE | WORDS, max_size=8))
def test_films_of_one_name_get_a_folder_each(wanted):
    names = names_in_order(wanted)
    assert len({as_on_disk(name) for name in names}) == len(wanted)
    assert names_in_order(["Film_1", "film_1", "film_1-2"]) == ["Film_1", "film_1-2", "film_1-2-2"]
    assert "index.html" not in names_in_order(["index.html"])


def test_export_and_preview_keep_clips_apart_whatever_they_are_called(tmp_path):
    names = ("x 1", "x-1", "X-1", "a/b", "..", ".hidden", "clips.csv", "con", "y" * 300)
    shards = write_shards(tmp_path / "shards", names=names, words=("Anger",), frames=2, phases=1)
    videos = read_manifest(shards).videos
    result = run("export", shards, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").glob("*/*/phase-00/flow.npz"))) == len(videos)
    result = run("preview", shards, "--out", tmp_path / "sheets", "--videos", str(len(videos)))
    assert result.exit_code == 0, result.output
    drawn = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert len(drawn) == len(videos) + 1 and "index.html" in drawn
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "shards", "sheets"]
