"""Numbers that can be trusted: of whom, of which folds, from finite estimates, and marked."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mol_model.clips.views import Normalisation, release_normalisation
from mol_model.config.mol import TINY
from mol_model.config.settings import ProtocolConfig, RunConfig, TrainingConfig
from mol_model.inference.predict import _Look
from mol_model.protocols.folds import make_folds
from mol_model.reports.comparison import compare_runs
from mol_model.reports.model_card import write_card
from mol_model.reports.page import write_report, write_seeds_report
from mol_model.reports.text import result_text
from mol_model.reproduction.units import Unit
from mol_model.runs import checkpoint_test as testing
from mol_model.runs.finished import _notes, run_metrics
from mol_model.runs.options import RunOptions
from mol_model.runs.run import fit, fit_to_data, load_data
from mol_model.runs.seeds import summarise_seeds
from mol_model.scoring.evaluation import finite, pooled_metrics
from mol_model.scoring.predictions import VideoPrediction, load_predictions, save_predictions
from mol_model.scoring.remarks import UNKNOWN_PEOPLE, remarks
from mol_model.training.checkpoint import load_checkpoint, save_checkpoint
from mol_model.training.warm_start import open_warm_start
from mol_pipeline.contract.errors import ConfigError, TrainingError
from tests.model.shard_fixture import write_shards

NAMES = ("ann a", "ann-a", "..")
"""Three people who shared a directory, or left that of the run, before."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run: shards, settings, directory, metrics."""
    place = tmp_path_factory.mktemp("run")
    write_shards(place / "shards", names=NAMES, frames=2, phases=1)
    config = RunConfig(
        model=TINY.model_copy(update={"crop_px": 64}),
        training=TrainingConfig(steps=1, batch_size=4),
    )
    data = load_data([place / "shards"], None, config)
    config = fit_to_data(config, data)
    options = RunOptions(out=place / "out", device="cpu", jobs=1)
    return SimpleNamespace(
        data=data,
        config=config,
        out=place / "out",
        options=options,
        metrics=fit(data, config, options),
    )


def copy_of(run, tmp_path, name="copy"):
    return shutil.copytree(run.out, tmp_path / name, symlinks=True)


def options_of(out, *folds):
    return RunOptions(out=out, device="cpu", jobs=1, folds=folds)


def test_everybody_is_tested_once_by_a_model_that_never_saw_them(run):
    folds = sorted(path for path in (run.out / "folds").iterdir())
    assert len(folds) == len(NAMES) == run.metrics["folds"]
    assert "samm-ann-a" in {path.name for path in folds}
    tested = [load_predictions(path) for path in folds]
    assert sorted({one.subject for found in tested for one in found}) == sorted(NAMES)
    for path, found in zip(folds, tested, strict=True):
        record, _ = load_checkpoint(path / "checkpoint")
        (subject,) = {one.subject for one in found}
        assert len(record.people) == 2 and f"samm/{subject}" not in record.people
    assert {one.name for one in run.out.parent.iterdir()} == {"shards", "out"}


def test_some_folds_of_a_finished_run_leave_its_scores_whole(run, tmp_path):
    out = copy_of(run, tmp_path)
    assert fit(run.data, run.config, options_of(out, "0")) == run.metrics
    assert json.loads((out / "metrics.json").read_text()) == run.metrics
    for name in ("metrics.json", "predictions.csv"):
        assert (out / name).read_bytes() == (run.out / name).read_bytes()


def test_a_finished_fold_of_other_videos_or_people_is_refused(run, tmp_path):
    out = copy_of(run, tmp_path)
    first, second, _ = sorted((out / "folds").iterdir())
    content = (first / "predictions.json").read_bytes()
    (first / "predictions.json").write_bytes((second / "predictions.json").read_bytes())
    with pytest.raises(TrainingError, match="holds predictions of other videos"):
        fit(run.data, run.config, options_of(out))
    (first / "predictions.json").write_bytes(content)
    for name in ("checkpoint.json",):
        document = json.loads((first / name).read_text())
        document["people"] = [*document["people"], "samm/.."]
        (first / name).write_text(json.dumps(document))
    with pytest.raises(TrainingError, match="trained on other people"):
        fit(run.data, run.config, options_of(out))
    (first / "predictions.json").unlink()
    with pytest.raises(TrainingError, match="holds a run with another set of people"):
        fit(run.data, run.config, options_of(out, first.name))


def prediction(clip, nme, shape, *, error=0.5, fold="a", probabilities=(1.0, 0.0)):
    return VideoPrediction(fold, "samm", fold, clip, 0, probabilities, error, 1.0, nme, shape)


def test_an_estimate_and_its_simple_answer_are_pooled_alike():
    """A network that answers with the mean shape scores as the mean shape does."""
    videos = [prediction("short", (0.10,), 0.10), prediction("long", (0.01,) * 99, 0.01)]
    scores = pooled_metrics(videos, ("x", "y"))["landmarks"]
    assert scores["inter_ocular_nme_percent"] == pytest.approx(1.09)
    assert scores["mean_shape_nme_percent"] == pytest.approx(1.09)


def test_a_video_without_finite_truth_is_named_and_the_others_are_scored(run):
    videos = [prediction(str(k), (0.1,), 0.1) for k in range(99)]
    broken = prediction("bad", (float("nan"),), 0.1, error=float("nan"))
    metrics = run.metrics | pooled_metrics([*videos, broken], ("x", "y"))
    assert metrics["flow"]["average_end_point_error_px"] == pytest.approx(0.5)
    assert metrics["landmarks"]["inter_ocular_nme_percent"] == pytest.approx(10)
    assert metrics["flow"]["not_scored"] == metrics["landmarks"]["not_scored"] == ["samm/a/bad"]
    assert "samm/a/bad: the flow in the shards are no finite numbers" in result_text(metrics)
    headless = [prediction("x", (float("nan"),), 0.1, error=float("nan"))]
    assert not {"flow", "landmarks"} & pooled_metrics(headless, ("x", "y")).keys()


def test_estimates_and_weights_that_are_not_finite_are_refused(run, tmp_path):
    with pytest.raises(TrainingError, match="fold a: the estimated flow holds numbers"):
        finite("flow", np.array([1.0, np.inf]), "fold a")
    path = shutil.copytree(run.out / "folds" / next_fold(run), tmp_path / "fold") / "checkpoint"
    record, _ = load_checkpoint(path)
    model, _ = testing.load_model(path, torch.device("cpu"))
    with torch.no_grad():
        next(model.module.parameters())[0] = float("nan")
    with pytest.raises(TrainingError, match="not finite, and is not saved, an older"):
        save_checkpoint(path, record, model.module)
    assert load_checkpoint(path)[0] == record


def next_fold(run):
    return sorted(path.name for path in (run.out / "folds").iterdir())[0]


def test_compare_says_what_cannot_be_compared(run, tmp_path):
    headless, part = copy_of(run, tmp_path, "headless"), copy_of(run, tmp_path, "part")
    for path in (headless / "folds").iterdir():
        bare = [dataclasses.replace(one, probabilities=()) for one in load_predictions(path)]
        save_predictions(path, bare)
    compared = compare_runs([run.out, headless])
    assert compared.changes[0]["p"] is None
    assert "not compared, the second of the two has no expression head" in compared.text()
    assert "the first of the two" in compare_runs([headless, run.out]).text()

    (part / "metrics.json").write_text(json.dumps(run.metrics | {"folds": 1, "videos": 5}))
    assert "the runs differ in folds: 3, 1" in compare_runs([run.out, part]).warnings

    evaluated = tmp_path / "evaluated"
    found = [one for path in (run.out / "folds").iterdir() for one in load_predictions(path)]
    for name, kept in (("one", found), ("two", found), ("none", [])):
        (evaluated / name).mkdir(parents=True)
        save_predictions(evaluated / name, kept)
        (evaluated / name / "metrics.json").write_text(json.dumps(run.metrics))
    change = compare_runs([evaluated / "one", evaluated / "two"]).changes[0]
    assert (change["videos"], change["p"]) == (15, 1.0)
    assert compare_runs([run.out, evaluated / "one"]).changes[0]["videos"] == 15
    assert "no video is in both" in compare_runs([run.out, evaluated / "none"]).text()


def test_several_seeds_of_pairs_of_databases_have_scores(run, tmp_path):
    def metrics(value):
        part = {"videos": 5, "recognition": dict.fromkeys(run.metrics["recognition"], value)}
        whole = {key: one for key, one in run.metrics.items() if not isinstance(one, dict)}
        part["majority_class"] = run.metrics["majority_class"]
        return whole | {"by_fold": {"a-to-b": part, "b-to-a": part}}

    summary = summarise_seeds({0: metrics(0.2), 1: metrics(0.4)})
    assert summary["by_fold"]["a-to-b"]["spread"]["accuracy"]["mean"] == pytest.approx(0.3)
    text = result_text(summary)
    assert "a-to-b: 5 videos" in text and "0.3000 ± 0.1414" in text
    assert "0.300" in write_seeds_report(tmp_path, summary).read_text()


def test_a_start_from_unknown_people_is_marked_everywhere(run, tmp_path):
    source = shutil.copytree(run.out / "folds" / next_fold(run), tmp_path / "start")
    document = json.loads((source / "checkpoint.json").read_text())
    (source / "checkpoint.json").write_text(json.dumps(document | {"people": []}))
    training = run.config.training.model_copy(update={"init_from": str(source)})
    config = run.config.model_copy(update={"training": training})
    out = tmp_path / "out"
    metrics = fit(run.data, config, options_of(out, "0"))
    assert metrics["unknown_people"] and not run.metrics["unknown_people"]
    words = UNKNOWN_PEOPLE.split(":")[1].split(",")[0].strip()
    assert words in result_text(metrics)
    assert words in write_report(out, metrics, config).read_text()
    card = " ".join(write_card(out).read_text().split())
    assert words in card and "never saw" not in card
    assert "1 of 3 folds of the protocol" in card
    assert "the runs differ in unknown people" in compare_runs([run.out, out]).text()
    # What starts from it knows of no more people than it does.
    record, _ = load_checkpoint(out / "folds" / next_fold(run) / "checkpoint")
    assert record.people and not record.knows_people

    folds = make_folds(run.data.samples, run.data.classes, ProtocolConfig())
    unit = Unit("x", 0, config, run.data, tuple(folds[:1]), 3, out)
    unit.check_directory()
    assert remarks(unit.metrics())[0] == UNKNOWN_PEOPLE
    (source / "checkpoint.json").write_text(json.dumps(document | {"tensors_sha256": "0" * 64}))
    with pytest.raises(ConfigError, match="another started_from"):
        unit.check_directory()


def test_a_person_whom_a_checkpoint_knows_is_known_in_every_spelling(run, tmp_path):
    source = shutil.copytree(run.out / "folds" / next_fold(run), tmp_path / "start")
    document = json.loads((source / "checkpoint.json").read_text())
    (source / "checkpoint.json").write_text(json.dumps(document | {"people": ["samm/ANN  A"]}))
    start = open_warm_start(str(source))
    folds = make_folds(run.data.samples, run.data.classes, ProtocolConfig())
    for fold in folds:
        tested = run.data.samples[fold.test[0]].person
        if tested == "samm/ann a":
            with pytest.raises(TrainingError, match="was trained on samm/ann a, whom fold"):
                start.check_people(run.data.samples, fold)
        else:
            start.check_people(run.data.samples, fold)
    with pytest.raises(TrainingError, match="was trained on samm/ann a; a test on them"):
        testing.evaluate_checkpoint(source, run.data.directories, tmp_path / "o", device="cpu")


def test_weights_of_the_release_are_tested_as_the_release_normalises(run, tmp_path, monkeypatch):
    source = shutil.copytree(run.out / "folds" / next_fold(run), tmp_path / "start")
    document = json.loads((source / "checkpoint.json").read_text())
    document |= {"people": [], "manifest_hash": "", "mapping": "unknown", "mean": 0.0, "std": 1.0}
    document["classes"] = [f"class {k}" for k in range(5)]
    (source / "checkpoint.json").write_text(json.dumps(document))
    used = []
    evaluate_fold = testing.evaluate_fold

    def noted(model, clips, fold, normalisation, shape):
        used.append((clips.data.samples[fold.test[0]].person, normalisation))
        return evaluate_fold(model, clips, fold, normalisation, shape)

    monkeypatch.setattr(testing, "evaluate_fold", noted)
    shards = run.data.directories
    metrics = testing.evaluate_checkpoint(source, shards, tmp_path / "out", device="cpu")
    assert (metrics["videos"], metrics["label_mapping"]) == (15, "release-5")
    assert UNKNOWN_PEOPLE in result_text(metrics)
    assert len(used) == 3
    for person, normalisation in used:
        videos = [k for k, one in enumerate(run.data.samples) if one.person == person]
        frames = run.data.read(run.data.clips_of(videos))["frames"][..., 40:104, 40:104].double()
        assert normalisation.mean == pytest.approx(frames.mean().item())
        assert normalisation.mean + normalisation.std == pytest.approx(frames.max().item())
    with pytest.raises(ConfigError, match="--classes nothing"):
        testing.evaluate_checkpoint(source, shards, tmp_path / "o", classes="nothing", device="cpu")
    look = _Look.__new__(_Look)  # what a film looks like to a network does not need its kernels
    record, _ = load_checkpoint(source / "checkpoint")
    vars(look).update(identity=SimpleNamespace(record=record), model=SimpleNamespace(crop_px=128))
    window = np.zeros((2, 8, 144, 144), np.uint8)
    window[0, 0, 40, 40] = 200
    mean = 200 / (2 * 8 * 128 * 128)
    normalisation = look.normalisation(SimpleNamespace(frames=window))
    assert normalisation.mean == pytest.approx(mean)
    assert normalisation.std == pytest.approx(200 - mean)
    whole = torch.full((2, 144, 144), 9, dtype=torch.uint8)
    assert release_normalisation([whole, whole], 128) == Normalisation(9.0, 1.0)


def test_classes_that_a_fold_cannot_learn_and_people_of_one_video_are_noted(run):
    one, other = [SimpleNamespace(person=p, label=k, holds=(k,)) for k, p in enumerate("ab")]
    data = SimpleNamespace(samples=[one, one, other], classes=("x", "y"))
    fold = SimpleNamespace(name="b", train=(0, 1), test=(2,))
    notes = _notes(data, run.config, [fold])
    assert notes == ["fold b: no training video of class y", "tested by one video only: b"]
    metrics = run.metrics | {"notes": notes}
    for text in (
        result_text(metrics),
        write_report(Path(run.out), metrics, run.config).read_text(),
    ):
        assert all(note in text for note in notes)
    folds = make_folds(run.data.samples, run.data.classes, ProtocolConfig())
    again = run_metrics(run.data, run.config, folds[:1], [], of=3, start=None)
    assert again["notes"] == []
