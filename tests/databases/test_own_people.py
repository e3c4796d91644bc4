"""Lists of own videos: one person in two spellings and one file under two subjects are refused."""

import os
import unicodedata

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.people import spelled_in_two_ways, spelling_key
from mol_pipeline.databases.adapters.custom import Custom
from tests.sources import CASES


def write_list(root, *rows):
    root.mkdir(exist_ok=True)
    lines = [f"{path},{subject},happy" for path, subject in rows]
    (root / "own.csv").write_text("\n".join(["path,subject,label", *lines, ""]), encoding="utf-8")
    return root


def frames_at(folder):
    folder.mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((9, 9), 40 * number, np.uint8))


WORD = st.text("abzéüß", min_size=1, max_size=5)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(word=WORD, number=st.integers(0, 999), zeros=st.integers(0, 3))
def test_spellings_that_people_mix_up_have_one_key(word, number, zeros):
    for name in (word, str(number), f"{word}{number}"):
        spellings = {name, name.upper(), name.title(), f" {name} "}
        spellings |= {unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC")}
        assert len({spelling_key(one) for one in spellings}) == 1
    assert spelling_key(f"{word}{number}") == spelling_key(f"{word}{'0' * zeros}{number}")
    assert spelling_key(str(number)) != spelling_key(str(number + 1))
    assert spelled_in_two_ways([f"custom/{number}", f"custom/0{number}", f"samm/{number}"]) == [
        tuple(sorted((f"custom/{number}", f"custom/0{number}")))
    ]
    # Names of films, which Aff-Wild2 takes for people, and what nobody mixes up.
    assert not spelled_in_two_ways(["v/05-30-1920x1080", "v/5-30-1920x1080", "v/ann a", "v/ann-a"])


@pytest.mark.parametrize(
    ("one", "other"),
    [("Anna", "anna"), ("01", "1"), ("s1", "S01"), ("Müller", "müller"), ("ﬁn", "fin")],
)
def test_a_person_in_two_spellings_is_refused_with_the_rows(tmp_path, one, other):
    root = write_list(tmp_path / "own", ("a", one), ("b", other), ("c", "ben"))
    for name in "abc":
        frames_at(root / name)
    with pytest.raises(SourceError, match=r"\(row \d\) and .* \(row \d\): one person"):
        Custom().index(root)
    write_list(root, ("a", one), ("b", one), ("c", "ben"))
    assert len(Custom().index(root).videos) == 3


def test_unicode_forms_of_a_cell_are_one_person(tmp_path):
    root = write_list(tmp_path / "own", ("a", "u\u0308"), ("b", "ü"))
    frames_at(root / "a"), frames_at(root / "b")
    assert {video.person for video in Custom().index(root).videos} == {"custom/ü"}


@pytest.mark.skipif(not CASES.is_dir(), reason="no small inputs beside the project")
def test_the_reported_list_of_two_spellings_is_refused(tmp_path):
    (tmp_path / "own.csv").write_bytes((CASES / "one_person_two_spellings.csv").read_bytes())
    with pytest.raises(SourceError, match="one person in two spellings"):
        Custom().index(tmp_path)


HOW = ("same", "dotted", "symlink", "linked frames", "hard link", "folder")


@pytest.mark.parametrize("how", HOW)
def test_a_file_under_two_subjects_is_refused_however_it_is_reached(tmp_path, how):
    root = tmp_path / "own"
    frames_at(root / "a")
    second = {"same": "a", "dotted": "./x/../a/", "folder": "b/../a"}.get(how, "b")
    if how == "symlink":
        (root / "b").symlink_to(root / "a")
    if how in {"hard link", "linked frames"}:
        (root / "b").mkdir()
        for number in range(3):
            make = os.link if how == "hard link" else os.symlink
            make(root / "a" / f"{number}.png", root / "b" / f"{7 + number}.png")
    if how == "folder":
        (root / "b").mkdir()
    write_list(root, ("a", "ann"), (second, "ben"))
    with pytest.raises(SourceError, match=r"listed under 'ann' \(row 2\) and 'ben' \(row 3\)"):
        Custom().index(root)
    write_list(root, ("a", "ann"))
    assert len(Custom().index(root).videos) == 1
