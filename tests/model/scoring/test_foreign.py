"""Predictions that were made elsewhere: scored as our own, or refused by name; docs/python.md."""

import csv
import json
import re
from pathlib import Path

import pytest

from mol_model.cli import main
from mol_model.clips.dataset import ClipDataset
from mol_model.clips.shards import ShardSet
from mol_model.scoring.foreign import predictions_of, read_predictions
from mol_model.scoring.predictions import write_table
from mol_pipeline.contract.errors import ConfigError
from tests.in_process import invoke, run_here
from tests.model.shard_fixture import write_shards

PAGE = Path(__file__).parents[3] / "docs" / "python.md"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("data") / "shards", subjects=3)


@pytest.fixture
def rows(shards):
    """One right prediction a video, as a table of somebody's."""
    data = ShardSet([shards])
    return [
        {"subject": v.subject, "clip": v.clip, "predicted": data.classes[s.label], "truth": ""}
        for v, s in zip(data.videos, data.samples, strict=True)
    ]


def write(path, rows, columns=None):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_page_on_python_runs_as_it_stands(shards, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shards").symlink_to(shards)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(block, names)
    assert names["u"].shape == (144, 144)
    for line in re.findall(r"^moltrain (.*)$", PAGE.read_text(), re.MULTILINE):
        if line.startswith("score"):
            result = invoke(main, *line.split())
            assert result.exit_code == 0, result.stderr


def test_right_predictions_score_as_a_run_does_and_are_compared(shards, rows, tmp_path):
    right = write(tmp_path / "right.csv", rows)
    wrong = write(tmp_path / "wrong.csv", [{**row, "predicted": "anger"} for row in rows])
    for name, path in (("a", right), ("b", wrong)):
        result = invoke(
            main, "score", "--predictions", path, "--shards", shards, "--out", tmp_path / name
        )
        assert result.exit_code == 0, result.stderr
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert metrics["recognition"]["unweighted_f1"] == 1.0
    assert metrics["selection"] == "not said" and "not known here" in metrics["notes"][0]
    page = (tmp_path / "a" / "report.html").read_text()
    assert "nobody is tested by a model" not in page and "95 % interval" in page
    compared = invoke(main, "compare", tmp_path / "a", tmp_path / "b", "--json")
    (change,) = json.loads(compared.stdout)["changes"]
    assert change["lost"] == 12 and change["p_of_people"] is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[1:], "no prediction for 1 of 15 videos"),
        (lambda rows: [*rows, rows[0]], "line 17: samm/006/006_1_0 is there twice"),
        (lambda rows: [*rows, {**rows[0], "clip": "x"}], "1 videos that are not in the shards"),
        (lambda rows: [{**row, "predicted": "joy"} for row in rows], "'joy' is none of the"),
        (
            lambda rows: [{**rows[0], "truth": rows[1]["predicted"]}, *rows[1:]],
            "is another mapping meant",
        ),
        (lambda rows: [{"subject": 1, "clip": 2}], "has no column predicted, or p_"),
        (lambda rows: [{"clip": 2, "predicted": 3}], "has no column subject"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_name(shards, rows, tmp_path, change, words):
    path = write(tmp_path / "x.csv", change(rows))
    given = ("--predictions", path, "--shards", shards, "--out", tmp_path / "o")
    result = run_here(main, "score", *given)
    assert result.returncode == 3 and words in result.stderr, result.stderr
    assert not (tmp_path / "o").exists()


def test_a_part_is_scored_only_if_that_is_allowed_and_is_said(shards, rows, tmp_path):
    path = write(tmp_path / "x.csv", rows[2:])
    given = ("--predictions", path, "--shards", shards, "--out", tmp_path / "o", "--partial")
    result = invoke(main, "score", *given)
    assert result.exit_code == 0 and "2 of 15 videos have no prediction" in result.stdout


def test_our_own_table_is_read_back_with_names_that_spreadsheets_would_run(tmp_path):
    names = ("=1+1", "-x", "'q", "ä b")
    data = ShardSet([write_shards(tmp_path / "s", names=names)])
    said = {
        (v.database, v.subject, v.clip): [0.5 * (k == i % 5) for k in range(5)]
        for i, v in enumerate(data.videos)
    }
    predictions = predictions_of(data, said)
    write_table(tmp_path / "t.csv", predictions, data.classes, synthetic=True)
    again = read_predictions(tmp_path / "t.csv", data)
    assert [(v.key, v.probabilities) for v in again] == [
        (v.key, v.probabilities) for v in predictions
    ]


def test_what_is_no_view_or_no_probability_is_refused(shards):
    with pytest.raises(ConfigError, match="views flows"):
        ClipDataset([shards], views=("flows",))
    data = ShardSet([shards])
    key = next((v.database, v.subject, v.clip) for v in data.videos)
    for wrong in ([1.0], [2.0, 0, 0, 0, 0], [float("nan")] * 5):
        with pytest.raises(ConfigError, match="needs 5 probabilities"):
            predictions_of(data, {key: wrong}, partial=True)
