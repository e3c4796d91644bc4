"""The paper's tables and figures: documents, plans, runs, resuming, and whose numbers are shown."""

import dataclasses
import json
import os
import re
import signal
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from mol_model.cli import main
from mol_model.config.settings import PRESETS, RunConfig
from mol_model.networks.mol.build import build_network
from mol_model.reproduction import document as documents
from mol_model.reproduction.document import known_names, read_reproduction
from mol_model.reproduction.execute import reproduce
from mol_model.reproduction.plan import ReproductionRequest, make_plan
from mol_model.reproduction.timing import estimate, measure
from mol_model.reproduction.units import PeerUnit
from mol_model.runs.options import RunOptions
from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.errors import ConfigError, StoppedOnRequest, TrainingError
from mol_pipeline.contract.labels import LABEL_MAPPINGS
from mol_pipeline.contract.settings import load_settings
from tests.model.shard_fixture import write_shards

ROOT = Path(__file__).parents[3]
NAMES = [*(f"table-{number:02d}" for number in range(4, 16)), "figure-5", "figure-6"]
ROMAN = ("IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV")
SHORT = {2: 2, 4: 4, 8: 3, 16: 5}
"""Clips of the documents, and of the small shards that stand for them."""
SMALL = ("model.crop_px=64", "training.batch_size=4", "training.log_every=1")
COMMAND = [
    *("--preset", "tiny", "--steps", "1", "--device", "cpu", "--jobs", "1"),
    *(word for setting in SMALL for word in ("--set", setting)),
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Small shards by database and clip length."""
    root = tmp_path_factory.mktemp("shards")

    def write(database, frames):
        path = root / f"{database}-{frames}"
        return write_shards(path, database=database, frames=frames, subjects=2, phases=1)

    wanted = [("casme2", frames) for frames in (2, 3, 4, 5)] + [("samm", 3), ("smic-hs", 3)]
    return {key: write(*key) for key in wanted}


def given(shards, document):
    """Options that name the shards of a document."""
    keys = {(need.database, need.frames) for need in document.data.values()}
    return [word for key in sorted(keys) for word in ("--shards", str(shards[key]))]


def shortened(name, directory):
    """A document with shorter clips and nothing else changed."""
    content = yaml.safe_load((ROOT / f"pipelines/{name}.yaml").read_text())
    for need in content["data"].values():
        need["frames"] = SHORT[need["frames"]]
        if "sampling.frames" in need.get("build", {}):
            need["build"]["sampling.frames"] = need["frames"]
    path = directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["reproduce", *map(str, arguments)])


def cells(text):
    """Cells of the rows of a printed table, by the name of the row."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


# Documents


def test_there_is_a_document_for_each_table_and_figure():
    of_paper = [name for name in known_names() if not name.startswith("benchmark-")]
    assert of_paper == sorted(NAMES)
    for name in NAMES:
        document = read_reproduction(name)
        assert document.source.startswith("MOL ")
        number = int(name.rpartition("-")[2])
        expected = f"Fig. {number}," if document.figure else f"Table {ROMAN[number - 4]}"
        assert document.source.startswith(f"MOL {expected}"), name
        for row in document.rows:
            assert set(row.paper) == (set() if document.figure else set(document.metrics))


def test_what_the_documents_name_exists():
    for name in NAMES:
        document = read_reproduction(name)
        for need in document.data.values():
            overrides = tuple(f"{key}={json.dumps(value)}" for key, value in need.build.items())
            assert load_settings(BuildConfig, None, overrides).sampling.frames == need.frames
        for row in document.rows:
            for key in row.data:
                database = document.data[key].database
                mappings = {one.name for one in LABEL_MAPPINGS[database]}
                assert document.mapping_of(row) in mappings
            assert row.part is None or row.part in {document.data[key].database for key in row.data}


FULL = PRESETS["tiny"]


def resolved(row):
    overrides = tuple(f"{key}={json.dumps(value)}" for key, value in row.settings.items())
    return load_settings(RunConfig, None, overrides, base=FULL.model_dump(mode="json"))


def parameters(config):
    return sum(one.numel() for one in build_network(config.model).parameters())


@pytest.mark.parametrize("name", NAMES)
def test_each_variant_differs_from_the_full_model(name):
    document = read_reproduction(name)
    rows = {row.run: row for row in document.rows if row.peer is None}
    seen = Counter()
    for row in rows.values():
        config, count = resolved(row), parameters(resolved(row))
        if row.settings:
            other_input = config.model.expression_input != FULL.model.expression_input
            assert count != parameters(FULL) or other_input, row.name
        # A vertical and a horizontal kernel of a square map have equally many parameters.
        what = (count, config.model.expression_input, config.model.mixer)
        seen[(what, row.data, row.mapping, row.protocol)] += 1
    assert max(seen.values()) == 1, "two rows are the same run"


def test_the_ablations_leave_out_what_they_say():
    def networks(name):
        return {row.run: build_network(resolved(row).model) for row in read_reproduction(name).rows}

    tasks = networks("table-08")
    assert (tasks["without-ofe-and-fld"].flow, tasks["without-ofe-and-fld"].landmarks) == (
        None,
    ) * 2
    assert tasks["without-fld"].landmarks is None and tasks["without-fld"].flow is not None
    assert tasks["without-ofe"].flow is None and tasks["without-ofe"].landmarks is not None
    parts = networks("table-09")
    assert len(parts["without-f5c"].first) == 0
    assert parts["without-ccc"].first[0].ccc is None
    assert parts["without-fcc"].first[0].mixer is None
    assert [len(one.first) for one in networks("table-10").values()] == [1, 2, 3]
    mixers = [type(one.first[0].mixer).__name__ for one in networks("table-11").values()]
    assert mixers[0] == "TransformerMixer"
    assert len({one.expression_input for one in networks("table-12").values()}) == 6
    flow = {row.run: resolved(row).model for row in read_reproduction("table-14").rows}
    assert not flow["without-mer-and-fld"].use_expression and flow["without-mer"].use_landmarks


def test_a_document_that_contradicts_itself_is_refused(tmp_path):
    good = yaml.safe_load((ROOT / "pipelines/table-08.yaml").read_text())

    def refused(change, words):
        broken = json.loads(json.dumps(good))
        change(broken)
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(broken))
        with pytest.raises(ConfigError, match=words):
            read_reproduction(str(path))

    refused(lambda d: d.update(colour="red"), "no such setting")
    refused(lambda d: d.update(metrics=["beauty"]), "beauty is none of accuracy")
    refused(lambda d: d["rows"][0].update(data=["samm"]), "data samm is none of")
    refused(lambda d: d["rows"][0]["paper"].update(unweighted_f1=1), "none of this table's metrics")
    refused(lambda d: d["rows"][1].update(run="without-ofe-and-fld"), "means something else")
    refused(lambda d: d["rows"][1].update(name=d["rows"][0]["name"]), "comes twice")
    refused(lambda d: d["rows"][0].update(peer="flow"), "a peer has no settings")
    for name in ("con", "x" * 200):
        refused(lambda d, name=name: d["rows"][0].update(run=name), "is no name of a folder")
    with pytest.raises(ConfigError, match="there are figure-5"):
        read_reproduction("table-99")


def test_a_wheel_carries_the_documents(tmp_path, monkeypatch):
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    included = wheel["targets"]["wheel"]["force-include"]
    source, target = next(iter(included.items()))
    assert "pipelines" in wheel["targets"]["sdist"]["include"]
    assert (ROOT / source).resolve() == documents.IN_REPOSITORY
    package = Path(documents.__file__).parents[2]
    assert package / target == documents.PACKAGED

    installed = tmp_path / "pipelines"
    installed.mkdir()
    (installed / "table-08.yaml").write_text((ROOT / "pipelines/table-08.yaml").read_text())
    monkeypatch.setattr(documents, "PACKAGED", installed)
    assert known_names() == ["table-08"]
    assert read_reproduction("table-08").source == "MOL Table VIII"


# Runs


@pytest.mark.parametrize("name", NAMES)
def test_every_table_and_figure_runs_through(shards, tmp_path, name):
    path = shortened(name, tmp_path)
    document = read_reproduction(str(path))
    one_fold = [] if name in ("table-06", "table-07") else ["--folds", "0"]
    out = tmp_path / "out"
    done = run(path, *given(shards, document), "--out", out, *COMMAND, *one_fold)
    assert done.exit_code == 0, done.output
    table = json.loads((out / "table.json").read_text())
    assert [row["name"] for row in table["rows"]] == [row.name for row in document.rows]
    for row, entry in zip(document.rows, table["rows"], strict=True):
        if row.peer:
            assert entry["state"] == "weights not installed"
            assert entry["note"] == row.how
            continue
        assert entry["state"] == "done", entry
        assert set(entry["scores"]) == set(document.metrics)
        assert all(len(one["values"]) == 1 for one in entry["scores"].values())
        if document.figure:
            (picture,) = entry["pictures"]
            assert (out / picture).read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    assert page.count("data:image/png") == (len(document.rows) if document.figure else 0)
    assert "SYNTHETIC" in page and "SYNTHETIC" in (out / "table.md").read_text()
    assert "SYNTHETIC" in done.stdout
    assert all(link in page for link in re.findall(r"href='?(\S+)", page))
    for row in document.rows:
        for number in row.paper.values():
            assert f"| {number:g} |" not in done.stdout


OWN = """
title: two heads
source: my own question
data: {{samm: {{database: samm, frames: 2}}}}
protocol: {{name: loso}}
mapping: "5"
seeds: {seeds}
metrics: [accuracy, inter_ocular_nme_percent]
rows:
  - {{name: without flow, run: without-flow, data: [samm], settings: {{model.use_flow: false}},
     paper: {{accuracy: 12.34}}}}
  - {{name: whole, run: whole, data: [samm], paper: {{accuracy: 56.78}}}}
"""


@pytest.fixture(scope="module")
def samm(tmp_path_factory):
    root = tmp_path_factory.mktemp("samm")
    return {
        synthetic: write_shards(
            root / str(synthetic), subjects=2, phases=1, frames=2, synthetic=synthetic
        )
        for synthetic in (True, False)
    }


def own_plan(
    tmp_path, shards, *, out="out", seeds=(0,), steps=2, folds=(), overwrite=False, peers=()
):
    path = tmp_path / "mine.yaml"
    path.write_text(OWN.format(seeds=list(seeds)))
    request = ReproductionRequest(
        name=str(path),
        shards=(shards,),
        options=RunOptions(tmp_path / out, "cpu", jobs=1, folds=folds, overwrite=overwrite),
        preset="tiny",
        overrides=(*SMALL, f"training.steps={steps}"),
        peers=peers,
    )
    return make_plan(request)


def files(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("folds/*/*") if path.is_file()}


@pytest.mark.parametrize("how", ["interrupt", "stop signal"])
def test_what_is_stopped_goes_on_without_doing_anything_twice(tmp_path, samm, how):
    whole, _ = reproduce(own_plan(tmp_path, samm[True], out="whole", steps=3))

    def stop(progress):
        if progress.step is None or progress.step.step != 2 or "whole" not in begun:
            return
        if how == "interrupt":
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGTERM)

    begun = []
    kind = KeyboardInterrupt if how == "interrupt" else StoppedOnRequest
    with pytest.raises(kind):
        reproduce(
            own_plan(tmp_path, samm[True], steps=3),
            on_run=lambda unit: begun.append(unit.run),
            on_progress=stop,
        )
    assert begun == ["without-flow", "whole"]
    half = json.loads((tmp_path / "out/table.json").read_text())
    assert [row["state"] for row in half["rows"]] == ["done", "not finished"]
    assert half["rows"][1]["note"] == "0 of 2 folds done"

    plan = own_plan(tmp_path, samm[True], steps=3)
    assert [unit.finished for unit in plan.units] == [2, 0]
    before = files(tmp_path / "out/without-flow")
    begun.clear()
    table, _ = reproduce(plan, on_run=lambda unit: begun.append(unit.run))
    assert begun == ["whole"]
    assert files(tmp_path / "out/without-flow") == before
    assert table == whole

    before = files(tmp_path / "out")
    begun.clear()
    again, _ = reproduce(
        own_plan(tmp_path, samm[True], steps=3), on_run=lambda unit: begun.append(unit.run)
    )
    assert (again, begun, files(tmp_path / "out")) == (whole, [], before)


def test_the_papers_numbers_stand_beside_real_data_of_the_database_only(tmp_path, samm):
    shown = {}
    for synthetic, shards in samm.items():
        out = f"out-{synthetic}"
        table, page = reproduce(own_plan(tmp_path, shards, out=out))
        for text in (page.read_text(), (tmp_path / out / "table.md").read_text()):
            assert ("12.34" in text) is not synthetic
            assert ("56.78" in text) is not synthetic
            assert ("SYNTHETIC" in text) is synthetic
        shown[synthetic] = [row["scores"]["accuracy"].get("paper") for row in table["rows"]]
        assert table["synthetic"] is synthetic
    assert shown == {True: [None, None], False: [12.34, 56.78]}
    # Real shards of another database are none of this table's.
    other = write_shards(tmp_path / "mmew", database="mmew", frames=2, subjects=2, synthetic=False)
    with pytest.raises(ConfigError, match="shards not given: samm with clips of 2 frames"):
        own_plan(tmp_path, other, out="other")


def test_a_database_that_is_not_given_leaves_its_rows_and_no_number_beside_demo_data(
    tmp_path, shards
):
    path = shortened("table-04", tmp_path)
    options = ["--shards", shards["samm", 3], "--out", tmp_path / "out", *COMMAND, "--folds", "0"]
    done = run(path, *options, "--shards", shards["smic-hs", 3])
    assert done.exit_code == 0, done.output
    assert "smic-hs-3: no row of MOL Table IV needs it" in done.stderr
    rows = cells(done.stdout)
    assert rows["CASME II, 5 classes"][-1] == "shards not given"
    assert rows["SAMM, 5 classes"][-1] == "done"
    assert "molprep build --dataset casme2" in done.stdout
    assert "1 of 2 folds of the protocol" in done.stdout
    assert "91.26" not in (tmp_path / "out/table.json").read_text()
    none = run("table-05", *options)
    assert none.exit_code == 3
    assert "table-05: none of its rows can be made" in none.stderr
    assert "smic-hs with clips of 8 frames" in none.stderr


def test_a_table_of_some_folds_tells_of_those(tmp_path, samm):
    """Whatever other folds were done in the same directory before."""

    def nme(folds, out="out"):
        table, _ = reproduce(own_plan(tmp_path, samm[True], folds=folds, out=out))
        return [row["scores"]["inter_ocular_nme_percent"]["values"] for row in table["rows"]]

    first, second, whole = nme(("0",)), nme(("1",)), nme(())
    assert first != second
    assert nme(("0",)) == first
    assert nme(()) == whole
    for one, other, both in zip(first, second, whole, strict=True):
        assert both[0] == pytest.approx((one[0] + other[0]) / 2)


def test_seeds_give_a_spread_and_a_failing_run_does_not_stop_the_others(tmp_path, samm):
    table, page = reproduce(own_plan(tmp_path, samm[False], seeds=(0, 3)))
    for row in table["rows"]:
        assert row["seeds"] == [0, 3]
        score = row["scores"]["inter_ocular_nme_percent"]
        assert score["ours"] == pytest.approx(sum(score["values"]) / 2)
        low, high = sorted(score["values"])
        assert score["standard_deviation"] == pytest.approx((high - low) / 2**0.5)
    assert "whole/seed-3/report.html" in page.read_text()
    assert (tmp_path / "out/whole/metrics.json").is_file()

    compared = CliRunner().invoke(
        main, ["compare", str(tmp_path / "out/whole"), str(tmp_path / "out/without-flow")]
    )
    assert compared.exit_code == 0, compared.output

    broken = write_shards(tmp_path / "broken", subjects=2, phases=1, frames=2, broken_subject=7)
    with pytest.raises(TrainingError, match=r"1 runs failed \(whole\).*the loss is not finite"):
        # Subject 007 is in the training part of the first fold.
        reproduce(own_plan(tmp_path, broken, out="failing", folds=("0",)))
    rows = json.loads((tmp_path / "failing/table.json").read_text())["rows"]
    assert [row["state"] for row in rows] == ["done", "failed"]
    assert "the loss is not finite" in rows[1]["note"]


def test_another_table_in_the_directory_and_wrong_requests_are_refused(tmp_path, samm):
    reproduce(own_plan(tmp_path, samm[True], folds=("0",)))
    with pytest.raises(ConfigError, match="another config_hash; choose another --out"):
        own_plan(tmp_path, samm[True], steps=3)
    plan = own_plan(tmp_path, samm[True], steps=3, overwrite=True, folds=("0",))
    table, _ = reproduce(plan)
    assert {row["state"] for row in table["rows"]} == {"done"}
    with pytest.raises(ConfigError, match="a seed is named twice"):
        own_plan(tmp_path, samm[True], seeds=(1, 1))
    with pytest.raises(ConfigError, match=r"no such row in .*; it has no peers"):
        own_plan(tmp_path, samm[True], peers=(("RAFT", "raft"),))
    both = (samm[True], samm[False])
    path = str(tmp_path / "mine.yaml")
    with pytest.raises(ConfigError, match="both hold samm with clips of 2 frames"):
        make_plan(ReproductionRequest(name=path, shards=both, options=RunOptions(tmp_path / "o")))


def test_key_frames_are_not_taken_for_two_frames_of_another_kind(tmp_path):
    shards = write_shards(
        tmp_path / "s", database="casme2", frames=2, subjects=2, sampling={"phases": "all"}
    )
    refused = run("table-13", "--shards", shards, "--out", tmp_path / "o", *COMMAND)
    assert refused.exit_code == 3
    assert "sampling.phases=all, this row needs sampling.phases=keyframes" in refused.stderr


PEERS = """
import numpy as np
calls = []
def still(first, second):
    calls.append(len(first))
    return np.zeros((len(first), 2, *first.shape[1:]))
def wrong(frames):
    return frames
"""


def test_a_peers_row_is_computed_when_the_user_names_a_predictor(tmp_path, shards, monkeypatch):
    (tmp_path / "my_still_peer.py").write_text(PEERS)
    monkeypatch.syspath_prepend(tmp_path)
    out = ["--out", tmp_path / "out", *COMMAND, "--folds", "0"]
    path = shortened("table-14", tmp_path)
    options = [path, *given(shards, read_reproduction(str(path))), *out]
    for _ in range(2):
        done = run(*options, "--peer", "unsupflownet=my_still_peer:still", "--peer", "RAFT=raft")
        assert done.exit_code == 0, done.output
    rows = cells(done.stdout)
    assert rows["UnsupFlownet"] == ["2.000", "", "done"]  # shifts of 0 to 4 px
    assert rows["RAFT"] == ["", "", "weights not installed"]
    assert "Raft_Large_Weights" in done.stdout
    assert len(sys.modules["my_still_peer"].calls) == 5  # one a video: it was not done again
    unknown = run(*options, "--peer", "HRNetV2=my_still_peer:still")
    assert unknown.exit_code == 3
    assert "its peers are UnsupFlownet, RAFT" in unknown.stderr
    assert run(*options, "--peer", "RAFT").exit_code == 2

    path = shortened("table-15", tmp_path)
    options = [path, *given(shards, read_reproduction(str(path)))]
    failed = run(
        *options,
        "--out",
        tmp_path / "15",
        *COMMAND,
        "--folds",
        "0",
        "--peer",
        "TCDCN=my_still_peer:wrong",
    )
    assert failed.exit_code == 7
    assert "the landmark predictor gave an array" in failed.stderr
    entries = json.loads((tmp_path / "15/table.json").read_text())["rows"]
    assert [row["state"] for row in entries] == ["failed", "weights not installed", *["done"] * 4]


def test_a_dry_run_prints_the_plan_and_what_it_measured(tmp_path, samm, shards):
    path = shortened("table-08", tmp_path)
    out = tmp_path / "out"
    options = [path, "--shards", shards["casme2", 3], "--out", out, *COMMAND]
    done = run(*options, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "without-ofe-and-fld" in done.stdout
    assert "measured: 3 steps of mol at" in done.stdout
    assert not out.exists()

    plan = own_plan(tmp_path, samm[True], steps=10)
    light, whole = plan.units
    timing = measure(plan.units, "cpu", steps=2)
    assert (timing.run, timing.steps) == ("whole", 2)  # the costlier one
    assert timing.seconds_per_step > 0
    assert estimate([whole], timing) == pytest.approx(2 * 10 * timing.seconds_per_step)
    assert 0 < estimate([light], timing) < estimate([whole], timing)
    reproduce(plan)
    assert estimate(plan.units, timing) == 0


def test_a_table_of_one_fold_without_a_database_is_written(tmp_path, shards):
    """Its one fold tests people of one database; the rows of the others have nothing to show."""
    path = shortened("table-06", tmp_path)
    options = [path, *given(shards, read_reproduction(str(path))), *COMMAND, "--folds", "0"]
    done = run(*options, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "out/table.json").read_text())["rows"]
    ours = [row for row in rows if any("ours" in one for one in row["scores"].values())]
    assert 0 < len(ours) < len(rows)
    assert "is tested in these folds" in done.stdout
    assert (tmp_path / "out/table.md").is_file() and (tmp_path / "out/report.html").is_file()


def test_overwrite_forgets_what_a_peer_scored(tmp_path, samm):
    plan = own_plan(tmp_path, samm[True], overwrite=True)
    row = plan.document.rows[0]
    folds, directory = plan.units[0].folds, tmp_path / "peer"
    peer = PeerUnit(row, plan.units[0].data, folds, directory, None)
    directory.mkdir()
    (directory / "peer.json").write_text("{}")
    reproduce(dataclasses.replace(plan, units=(), peers=(peer,)))
    assert not (directory / "peer.json").exists()
