"""The fair table: planned, done, interrupted and continued, with what each number rests on."""

import json
from pathlib import Path

import pytest

from mol_model.cli import main
from mol_model.config.network import NETWORKS
from mol_model.reproduction.fair_document import read_fair_document
from tests.in_process import invoke, run_here
from tests.model.shard_fixture import write_shards

DOCUMENT = """
title: two and a control
mapping: "5"
seeds: [0, 1]
selections: [last, test-best]
methods:
  - {name: STSTNet, run: ststnet, network: ststnet, preset: tiny, settings: {training.steps: 2}}
  - {name: control, run: majority, network: majority}
"""
QUICK = ("--device", "cpu", "--jobs", "1")


@pytest.fixture
def given(tmp_path):
    shards = write_shards(tmp_path / "shards", subjects=3)
    document = tmp_path / "two.yaml"
    document.write_text(DOCUMENT)
    return document, shards, tmp_path / "out"


def call(given, *more):
    document, shards, out = given
    return invoke(main, "benchmark", document, "--shards", shards, "--out", out, *QUICK, *more)


def test_a_table_grows_run_by_run_and_says_what_it_rests_on(given):
    out = given[2]
    plan = call(given, "--dry-run")
    assert plan.exit_code == 0 and len(plan.stdout.strip().splitlines()) == 8
    assert not out.exists()

    part = call(given, "--runs", "0-3")
    assert part.exit_code == 0, part.stderr
    table = json.loads((out / "table.json").read_text())
    assert [row["state"] for row in table["rows"]] == ["1 of 2 seeds"] * 4
    assert not table["tests"]["pairs"]
    done = {path: path.stat().st_mtime_ns for path in out.rglob("predictions.json")}

    whole = call(given)
    assert whole.exit_code == 0, whole.stderr
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    table = json.loads((out / "table.json").read_text())
    rows = {(row["run"], row["selection"]): row for row in table["rows"]}
    assert set(rows) == {
        (run, choice) for run in ("ststnet", "majority") for choice in ("last", "test-best")
    }
    score = rows["ststnet", "last"]["scores"]["unweighted_f1"]
    assert len(score["values"]) == 2 and score["interval"][0] <= score["mean"] + 1e-9
    assert rows["ststnet", "last"]["parameters"] > 1683 and rows["majority", "last"]["gflop"] >= 0
    (pair,) = table["tests"]["pairs"]
    assert pair["first"] == "ststnet" and 0 < pair["p"] <= pair["p_corrected"] <= 1
    assert table["synthetic"] and not table["published"]

    text = (out / "table.md").read_text()
    assert text.startswith("# SYNTHETIC: ") and "(OPTIMISTIC)" in text
    page = (out / "report.html").read_text()
    assert all(row["reports"][0] in page for row in table["rows"])
    assert all((out / place).is_file() for row in table["rows"] for place in row["reports"])


def test_a_run_that_fails_is_named_and_the_others_are_done(given):
    document, _, out = given
    text = DOCUMENT.replace("[0, 1]", "[0]").replace("[last, test-best]", "[last]")
    document.write_text(
        text.replace("training.steps: 2", "training.steps: 4, training.learning_rate: 1.0e+30")
    )
    found = run_here(main, "benchmark", document, "--shards", given[1], "--out", out, *QUICK)
    assert found.returncode == 7, found.stderr
    table = json.loads((out / "table.json").read_text())
    states = {row["run"]: row["state"] for row in table["rows"]}
    assert states["majority"] == "1 of 1 seeds"
    assert found.returncode == 7 and "1 runs failed: ststnet, last, seed 0" in found.stderr
    assert "not finite" in states["ststnet"] and not table["tests"]["pairs"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("run: majority", "run: ststnet"), "a run is named twice"),
        (("network: majority", "network: nobody"), "there are mol"),
        (("training.steps", "training.stepz"), "training.steps?"),
        (('mapping: "5"', "mapping: nine"), "nine"),
    ],
)
def test_a_document_that_is_wrong_is_refused_before_anything_is_trained(given, change, words):
    document, shards, out = given
    document.write_text(DOCUMENT.replace(*change))
    found = run_here(main, "benchmark", document, "--shards", shards, "--out", out, *QUICK)
    assert found.returncode == 3 and words in found.stderr, found.stderr
    assert not list(Path(out).rglob("run.json"))


@pytest.mark.parametrize(
    "name", ["benchmark-composite", "benchmark-samm-5", "benchmark-casme2-5", "benchmark-demo"]
)
def test_the_documents_of_the_project_compare_every_network(name):
    document = read_fair_document(name)
    assert {method.network for method in document.methods} == set(NETWORKS)
    for method in document.methods:
        config = document.config_of(method, "last", 0)
        assert config.network == method.network
