"""Names from elsewhere do nothing in tables, links and Markdown."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_pipeline.contract.escaping import FORMULA_STARTS, TableWriter, code, link, markdown

ROOT = Path(__file__).parents[1]


def written(*rows):
    text = io.StringIO(newline="")
    writer = TableWriter(text)
    for row in rows:
        writer.row(row)
    return list(csv.reader(io.StringIO(text.getvalue(), newline="")))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=4))
def test_no_cell_begins_a_formula_and_nothing_is_lost(cells):
    (row,) = written(["x", *cells])
    for cell, back in zip(cells, row[1:], strict=True):
        assert back in {cell, f"'{cell}"}
        assert not back.startswith(FORMULA_STARTS) or re.fullmatch(
            r"[+-][\d.e+-]+|[+-](inf|nan)", back
        )


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|x", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_a_formula_is_a_text(cell):
    assert written([cell, 1])[0] == [f"'{cell}", "1"]


@pytest.mark.parametrize("cell", [-1, -0.5, "-0.5000", "+3", "-1e-05", "nan", "-inf", "a=b"])
def test_numbers_and_other_texts_stay(cell):
    assert written([cell])[0] == [str(cell)]


def test_every_table_is_written_by_the_one_writer():
    modules = [*ROOT.glob("mol_pipeline/**/*.py"), *ROOT.glob("mol_model/**/*.py")]
    assert len(modules) > 100
    elsewhere = [
        path.name
        for path in modules
        if re.search(r"csv\.(Dict)?[wW]riter|to_csv", path.read_text(encoding="utf-8"))
    ]
    assert elsewhere == ["escaping.py"]


def test_links_lead_to_the_file_whatever_its_name():
    assert link("a b#c?d%41/x:y.mp4") == "a%20b%23c%3Fd%2541/x%3Ay.mp4"
    assert link("javascript:alert(1)").startswith("javascript%3A")


def test_markdown_shows_names_as_they_are():
    assert markdown("**x** | <b> [y](z)\n# w") == r"\*\*x\*\* \| \<b\> \[y\](z) # w"
    assert code("a`b\nc") == "a'b c"
