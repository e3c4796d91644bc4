"""Action units in columns of their own: the same units, however a table spreads them."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mol_pipeline.contract.action_units import UNITS
from mol_pipeline.contract.unit_notation import read_action_units
from mol_pipeline.databases.registry import ADAPTERS
from mol_pipeline.databases.tables import Row
from mol_pipeline.databases.unit_columns import read_unit_columns
from tests.databases.releases import Clip, dfme, four_dme

FACE = sorted(unit for unit in UNITS if unit <= 28)


def rows(head, *lines):
    return [
        Row(number, {}, tuple(zip(head, map(str, line), strict=True)))
        for number, line in enumerate(lines, start=2)
    ]


def units(text):
    reading = read_action_units(text)
    assert not reading.unread, text
    return {one.unit for one in reading.coded if reading.value(one.unit) == 1}


@st.composite
def codings(draw):
    """Some rows of units, sorted."""
    one = st.sets(st.sampled_from(FACE), min_size=1, max_size=6).map(sorted)
    return draw(st.lists(one, min_size=1, max_size=5))


FORMS = ["one cell", "AU.1", "merged head", "a column a unit", "places"]


def written(coding, form):
    """The coding as a table would have it; every form begins and ends with another column."""
    width = max(map(len, coding))
    if form == "one cell":
        return ["x", "AUs", "y"], [["a", "+".join(map(str, row)), "b"] for row in coding]
    if form == "a column a unit":
        head = ["x", *(f"AU{unit}" for unit in FACE), "y"]
        return head, [["1", *(int(unit in row) for unit in FACE), "2"] for row in coding]
    padded = [[*row, *[""] * (width - len(row))] for row in coding]
    names = {
        "AU.1": ["AU", *(f"AU.{i}" for i in range(1, width))],
        "merged head": ["Action Units", *[""] * (width - 1)],
        "places": [f"AU{i}" for i in range(1, width + 1)],
    }[form]
    return ["x", *names, "y"], [["a", *row, "b"] for row in padded]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(coding=codings())
def test_every_form_says_the_same(form, coding):
    head, lines = written(coding, form)
    highest = max(unit for row in coding for unit in row)
    found = read_unit_columns(rows(head, *lines))
    if form == "places" and highest <= 5 and {unit for row in coding for unit in row} != {1}:
        assert not found.texts  # may be how strong a unit is
        assert "hold" in found.notes[0]
        return
    assume(form != "places" or highest > 5)
    assert [units(text) for text in found.texts.values()] == [set(row) for row in coding]
    assert not found.notes


def test_a_unit_without_a_mark_does_not_move_and_a_question_is_unknown():
    found = read_unit_columns(
        rows(["AU1", "AU04", "au 12"], ["0", "1", "?"], ["0", "", "0"], ["", "", ""])
    )
    assert found.texts == {2: "4+12?", 3: "none"}
    reading = read_action_units(found.texts[2])
    assert [reading.value(unit) for unit in (1, 4, 12)] == [0, 1, None]
    assert read_action_units("none").value(4) == 0


@pytest.mark.parametrize("strange", ["3", "x", "0.5", "left"])
def test_columns_that_hold_neither_marks_nor_units_are_left_unread_and_said(strange):
    head = ["AU1", "AU4", "AU12"]
    found = read_unit_columns(rows(head, ["0", "1", "0"], ["0", strange, "1"]))
    assert found.texts == {}
    (note,) = found.notes
    assert note.startswith("column(s) AU1, AU4, AU12 hold ")
    assert repr(strange) in note


def test_a_cell_counts_before_columns_and_what_differs_is_counted():
    head = ["AUs", "AU4", "AU12"]
    found = read_unit_columns(
        rows(head, ["4", "1", "0"], ["4(k)+12", "1", "1"], ["4", "0", "1"], ["", "1", "1"])
    )
    assert list(found.texts.values()) == ["4", "4(k)+12", "4", "4+12"]
    (note,) = found.notes
    assert note.startswith("1 row(s) name other action units in a cell than in the columns")
    assert note.endswith("annotation row 4")


def test_columns_of_4dme_are_read_where_its_cell_is_empty(tmp_path):
    release = four_dme([Clip(1, "1_a", "Positive"), Clip(2, "2_b", "Negative")])
    release.header = [*release.header, "eye blink", "Total", "AU4", "AU12"]
    release.rows[0] |= {"AUs": "", "AU4": 0, "AU12": 1, "Total": 1}
    release.rows[1] |= {"AU4": 1, "AU12": 1, "Total": 2}
    first, second = ADAPTERS["4dme"].index(release.write(tmp_path)).videos
    assert first.annotations["action_units"] == "12"
    assert second.annotations["action_units"] == "4(k)+12"


def test_units_of_dfme_in_several_columns(tmp_path):
    release = dfme([Clip(1, "sub0001_01", "Fear"), Clip(2, "sub0002_01", "Anger")])
    release.header = [*release.header, "AU.1", "Checked"]
    release.rows[0] |= {"AU": 4, "AU.1": "R12", "Checked": 9}
    release.rows[1] |= {"AU": "", "AU.1": ""}
    first, second = ADAPTERS["dfme"].index(release.write(tmp_path)).videos
    assert first.annotations["action_units"] == "4+R12"
    assert "action_units" not in second.annotations
