"""Every way in which databases write action units is read, and nothing is guessed."""

import logging
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_pipeline.cli import main
from mol_pipeline.contract.action_units import (
    CD6ME_UNITS,
    NOT_VISIBLE,
    UNITS,
    ActionUnits,
    CodedUnit,
    values_of,
)
from mol_pipeline.contract.unit_notation import LONGEST_TEXT, read_action_units
from mol_pipeline.databases.adapters.casme2 import Casme2
from mol_pipeline.databases.adapters.four_dme import FourDme
from tests.databases.releases import Clip, casme2, four_dme
from tests.in_process import invoke


def values(text):
    """Unit -> value, of those that the text names."""
    reading = read_action_units(text)
    return {one.unit: reading.value(one.unit) for one in reading.coded}


@pytest.mark.parametrize(
    ("text", "moving"),
    [
        ("4+7", {4, 7}),
        ("4.0", {4}),
        ("12+15 ", {12, 15}),
        ("R12, L15", {12, 15}),
        ("L12A+A/L7", {12, 7}),
        ("A/L12", {12}),
        ("B28", {28}),
        ("T18+B25", {18, 25}),
        ("12L", {12}),
        ("10R + 4", {10, 4}),
        ("AU1+AU2", {1, 2}),
        ("au 4; AU_7", {4, 7}),
        ("AUs: 4, 7", {4, 7}),
        ("４＋７", {4, 7}),
        ("4，7", {4, 7}),
        ("4、R7", {4, 7}),
        ("4\nR7", {4, 7}),
        ("12（左）", {12}),
        ("L+R12", {12}),
        ("12 (both sides)", {12}),
        ("(4+7)", {4, 7}),
        ("L(12+14)", {12, 14}),
        ("12 onset, 4 at apex", {12, 4}),
        ("14 soft focus", {14}),
        ("14+soft focus", {14}),
        ("'4+7", {4, 7}),
        ("12A-B + 4b/c", {12, 4}),
        ("8(25)", {8, 25}),
        ("L12 or R12", {12}),
    ],
)
def test_what_is_written_moves_and_nothing_else_does(text, moving):
    reading = read_action_units(text)
    assert reading.complete and not reading.unread
    assert {unit for unit in UNITS if reading.value(unit)} == moving
    assert {unit for unit in UNITS if reading.value(unit) is None} == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(R6 or R12)+R15", {6: None, 12: None, 15: 1}),
        ("R14A or 17A or 24A", {14: None, 17: None, 24: None}),
        ("4/7 + 9", {4: None, 7: None, 9: 1}),
        ("6 + 12 or 14", {6: None, 12: None, 14: None}),
        ("6+12 or 6+14", {6: 1, 12: None, 14: None}),
        ("4或7", {4: None, 7: None}),
        ("12?", {12: None}),
        ("4+7 (?)", {4: 1, 7: None}),
        ("12 ref(11)", {12: 1, 11: None}),
        ("1 2", {1: None, 2: None, 12: None}),
        ("4(k)+12", {4: 0, 12: 1}),
        ("AU4 (static) + AU4", {4: 1}),
        ("(1+2)(k)+5", {1: 0, 2: 0, 5: 1}),
        ("14 static 12", {14: None, 12: None}),
    ],
)
def test_a_choice_and_a_doubt_are_unknown_and_a_static_unit_is_0(text, expected):
    assert values(text) == expected
    reading = read_action_units(text)
    assert reading.complete
    assert all(reading.value(unit) == 0 for unit in UNITS - expected.keys())


@pytest.mark.parametrize(
    ("text", "named", "unread"),
    [
        ("", {}, ()),
        ("?", {}, ()),
        (" / ", {}, ()),
        ("nan", {}, ()),
        ("soft focus", {}, ()),
        ("4+?", {4: 1}, ()),
        ("73", {73: 1}, ()),
        ("0", {}, ("0",)),
        ("3", {}, ("3",)),
        ("412", {}, ("412",)),
        ("4.7", {}, ("4.7",)),
        ("2014-04-07 00:00:00", None, None),
        ("12 absent", {12: None}, ("absent",)),
        ("not 12 + 4", {12: None, 4: 1}, ("not",)),
        ("12-15 + 4", {12: None, 15: None, 4: 1}, ("-",)),
        ("4+", {4: 1}, ("+",)),
        ("4++7", {4: 1, 7: 1}, ("+",)),
        ("12 or", {12: None}, ("or",)),
        ("12 + left", {12: 1}, ("left",)),
        ("(4+7", {4: None, 7: None}, ("(",)),
        ("4)+7", {4: None, 7: None}, (")", "+")),
        ("9" * (LONGEST_TEXT + 1), {}, (f"{'9' * 40}...",)),
    ],
)
def test_what_cannot_be_read_is_unknown_and_named(text, named, unread):
    reading = read_action_units(text)
    assert not reading.complete
    assert reading.value(10) is None
    if named is not None:
        assert (values(text), reading.unread) == (named, unread)
    assert 0 not in reading.vector(UNITS)


@pytest.mark.parametrize("text", ["none", "No AU", "AU0", "neutral", "no action units"])
def test_an_explicit_none_is_0(text):
    assert set(read_action_units(text).vector(UNITS)) == {0}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("L12A", {"side": "left", "intensity": "A"}),
        ("12rb", {"side": "right", "intensity": "B"}),
        ("A/L12", {"side": "left", "asymmetric": True}),
        ("LR12", {"side": "both"}),
        ("left AU 12 (E)", {"side": "left", "intensity": "E"}),
        ("B12", {"part": "bottom"}),
        ("12B", {"intensity": "B"}),
        ("12A-B", {}),
        ("12 unilateral", {"side": "one"}),
    ],
)
def test_sides_parts_and_intensities_are_kept(text, fields):
    assert read_action_units(text).coded == (CodedUnit(unit=12, **fields),)


def test_each_side_of_a_unit_keeps_its_intensity():
    reading = read_action_units("L12A+R12C")
    assert [(one.side, one.intensity) for one in reading.coded] == [("left", "A"), ("right", "C")]
    assert reading.side(12) == "both"
    assert read_action_units("L12 or R12").side(12) == ""


SIDES = {
    "left": ("L", "left ", "左"),
    "right": ("R", "right ", "右"),
    "both": ("LR", "both ", "L/R"),
}


@st.composite
def written_units(draw):
    """Units, and one of the ways to write them."""
    numbers = draw(
        st.lists(st.sampled_from(sorted(UNITS - NOT_VISIBLE)), min_size=1, max_size=6, unique=True)
    )
    separator = draw(st.sampled_from(["+", " + ", ",", ", ", ";", "＋", "，", "、", " & ", "\n"]))
    prefix = draw(st.sampled_from(["", "AU", "au ", "AU_", "ＡＵ"]))
    behind = draw(st.booleans())
    coded, words = [], []
    for number in numbers:
        side = draw(st.sampled_from(["", "left", "right", "both"]))
        intensity = draw(st.sampled_from(["", *"ABCDE"]))
        state = draw(st.sampled_from(["present", "present", "static", "possible"]))
        coded.append(CodedUnit(unit=number, side=side, intensity=intensity, state=state))
        mark = draw(st.sampled_from(SIDES[side])) if side else ""
        level = draw(st.sampled_from([intensity, intensity.lower(), f"({intensity})"]))
        level = level if intensity else ""
        number_text = draw(st.sampled_from([str(number), f"{number}.0"]))
        if behind and side in {"left", "right"}:
            mark, level = "", draw(st.sampled_from([f"{side[0]}{intensity}", f"{level} ({side})"]))
        ends = {"present": ("",), "static": ("(k)", " static"), "possible": ("?", " (?)")}[state]
        words.append(f"{mark}{prefix}{number_text}{level}{draw(st.sampled_from(ends))}")
    text = separator.join(words)
    around = draw(st.sampled_from(["{}", " {} ", "({})", "[{}]", "{}\n"]))
    change = draw(st.sampled_from([str, str.lower, str.upper, wide]))
    return coded, change(around.format(text))


def wide(text):
    """Full-width letters, figures and signs."""
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


@given(written_units())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_what_was_written_is_read_back(case):
    coded, text = case
    reading = read_action_units(text)
    assert reading.coded == tuple(coded), text
    assert reading.complete and not reading.unread
    expected = {"present": 1, "possible": None, "static": 0}
    assert all(reading.value(one.unit) == expected[one.state] for one in coded)
    assert reading.vector().count(1) == len(
        [one for one in coded if one.state == "present" and one.unit in CD6ME_UNITS]
    )


@given(st.text(st.sampled_from("0123456789 LRABTlrabtk+/,;()?.-AUor左有")) | st.text())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_text_is_read_or_named(text):
    reading = read_action_units(text)
    assert ActionUnits.model_validate_json(reading.model_dump_json()) == reading
    if reading.unread:
        assert not reading.complete
        assert 0 not in values_of(reading) or any(one.state == "static" for one in reading.coded)
    plain = unicodedata.normalize("NFKC", text)
    if any(sign.isdigit() and sign not in "0" for sign in plain) and plain.isascii():
        assert reading.coded or reading.unread


def test_no_text_takes_long_to_read():
    for piece in ("l ", "l+", "(", "1 2 ", "a/", "4 or ", "au ", "? "):
        text = piece * (LONGEST_TEXT // len(piece))
        assert not read_action_units(text).complete or "4" in text or "1" in text


def test_index_counts_what_was_read_and_names_the_rest_with_v(tmp_path, caplog):
    release = casme2([Clip(n, f"EP0{n}_01f", "happiness", 5, 6, 8) for n in range(1, 6)])
    texts = ["4+L12", "?", "(6 or 12)+15", "12+?!x", ""]
    for row, text in zip(release.rows, texts, strict=True):
        row["Action Units"] = text
    root = release.write(tmp_path)
    caplog.set_level(logging.INFO)
    shown = invoke(main, "index", "--dataset", "casme2", "--root", root).stdout
    assert (
        "action units: 1 read whole, 2 unknown in part, 1 with a piece that no rule reads, "
        "1 without a text" in shown
    )
    assert "AU4 1, AU12 2, AU15 1" in shown
    named = [one for one in caplog.messages if "action units" in one]
    assert len(named) == 3
    assert "casme2/03/EP03_01f: action units '(6 or 12)+15': unknown are AU6, AU12" in named
    assert "no rule reads '!', '?', 'x'" in named[2]


def test_adapters_keep_the_text_and_its_reading(tmp_path):
    clips = [Clip(1, "EP01_01f", "happiness", 5, 6, 8)]
    (video,) = Casme2().index(casme2(clips).write(tmp_path / "casme2")).videos
    assert (video.annotations["action_units"], video.action_units.vector()[:4]) == (
        "4",
        (0, 0, 1, 0),
    )
    (video,) = FourDme().index(four_dme(clips).write(tmp_path / "4dme")).videos
    assert video.annotations["action_units"] == "4(k)+12"
    assert video.action_units.coded[0].state == "static"
