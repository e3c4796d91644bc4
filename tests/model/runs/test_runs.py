"""Folds, training, resuming, pooling and the report on a small prepared database."""

import itertools
import json

import numpy as np
import pytest
import torch

from mol_model.clips.source import ClipSource
from mol_model.clips.sums import clip_statistics
from mol_model.clips.views import Normalisation
from mol_model.config.mol import TINY
from mol_model.config.settings import PRESETS, DataConfig, ProtocolConfig, RunConfig, TrainingConfig
from mol_model.protocols.folds import Fold, make_folds
from mol_model.reports.page import write_report
from mol_model.runs.options import RunOptions
from mol_model.runs.run import fit, fit_to_data, load_data, select_folds
from mol_model.scoring.evaluation import evaluate_fold, pooled_metrics
from mol_model.scoring.predictions import VideoPrediction
from mol_model.training import fold as training
from mol_model.training.checkpoint import load_checkpoint
from mol_model.training.metric_log import read_metric_log
from mol_model.training.selection import watched_videos
from mol_pipeline.contract.errors import ConfigError, TrainingError
from mol_pipeline.contract.settings import dump_settings, load_settings
from tests.model.shard_fixture import write_shards

CPU = torch.device("cpu")
CONFIG = RunConfig(
    model=TINY,
    data=DataConfig(),
    training=TrainingConfig(
        steps=6, batch_size=4, learning_rate=1e-3, log_every=2, checkpoint_every=2, flow_pairs=1
    ),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Data, settings that fit it, and its folds."""
    shards = write_shards(tmp_path_factory.mktemp("shards"))
    data = load_data([shards], None, CONFIG)
    config = fit_to_data(CONFIG, data)
    return data, config, make_folds(data.samples, data.classes, ProtocolConfig())


def test_statistics_are_those_of_the_training_subjects(prepared):
    data, _, folds = prepared
    clips = data.clips_of(folds[0].train)
    frames = data.read(clips)["frames"].double()
    statistics = clip_statistics(ClipSource(data, CPU)).normalisation(clips)
    assert statistics.mean == pytest.approx(frames.mean().item())
    assert statistics.std == pytest.approx(frames.std(correction=0).item())


class Stopped(BaseException):
    pass


def train_fold(data, fold, config, directory, **more):
    return training.train_fold(ClipSource(data, CPU), fold, config, directory, **more)


def test_a_stopped_fold_continues_to_the_same_numbers(prepared, tmp_path):
    data, config, folds = prepared
    whole, _ = train_fold(data, folds[0], config, tmp_path / "whole")

    def stop(report):
        if report.step == 4:
            raise Stopped

    with pytest.raises(Stopped):
        train_fold(data, folds[0], config, tmp_path / "parts", on_step=stop)
    record, _ = load_checkpoint(tmp_path / "parts/checkpoint")
    assert record.step == 2
    continued, _ = train_fold(data, folds[0], config, tmp_path / "parts")

    for (name, a), b in zip(
        whole.module.state_dict().items(), continued.module.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    logs = [read_metric_log(tmp_path / name) for name in ("whole", "parts")]
    for a, b in zip(*logs, strict=True):
        for line in (a, b):
            line.pop("clips_per_second"), line.pop("waiting")
        assert a == b


def test_a_loss_that_is_not_finite_names_step_and_clips(prepared, tmp_path, monkeypatch):
    data, config, folds = prepared
    read = data.read

    def broken(clips, **how):
        batch = read(clips, **how)
        batch["flow"][:] = float("nan")
        return batch

    monkeypatch.setattr(data, "read", broken)
    with pytest.raises(TrainingError, match=r"step 0: the loss is not finite .* row \d+"):
        train_fold(data, folds[0], config, tmp_path)


def test_a_checkpoint_of_other_settings_or_damaged_is_refused(prepared, tmp_path):
    data, config, folds = prepared
    train_fold(data, folds[0], config, tmp_path)
    changed = config.training.model_copy(update={"learning_rate": 0.5})
    other = config.model_copy(update={"training": changed})
    with pytest.raises(
        TrainingError, match=r"checkpoint\.json: holds a run with another config_hash; choose"
    ):
        train_fold(data, folds[0], other, tmp_path)
    (tensors,) = tmp_path.glob("checkpoint.*.safetensors")
    with tensors.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    with pytest.raises(TrainingError, match="is not the file"):
        load_checkpoint(tmp_path / "checkpoint")


def test_scores_come_from_pooled_predictions():
    names = itertools.count()

    def one(fold, label, predicted):
        probabilities = tuple(float(i == predicted) for i in range(3))
        clip = f"clip-{next(names)}"
        return VideoPrediction(
            fold, "samm", fold, clip, label, probabilities, 0.5, 1.0, (0.05, 0.15), 0.2
        )

    predictions = [one("a", 0, 0), one("a", 0, 0), one("b", 1, 0), one("b", 2, 2)]
    metrics = pooled_metrics(predictions, ("x", "y", "z"))
    assert metrics["confusion"] == [[2, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert metrics["recognition"]["unweighted_f1"] == pytest.approx((4 / 5 + 0 + 1) / 3)
    assert metrics["majority_class"]["accuracy"] == pytest.approx(0.5)
    assert metrics["landmarks"]["failure_rate_percent_at_10"] == pytest.approx(50)
    assert metrics["flow"]["zero_flow_end_point_error_px"] == pytest.approx(1.0)


def test_a_run_pools_reports_and_is_not_done_twice(prepared, tmp_path):
    data, config, folds = prepared
    out = tmp_path / "run"
    events = []
    options = RunOptions(out=out, device="cpu", jobs=2)
    metrics = fit(data, config, options, on_progress=events.append)

    assert metrics["folds"] == len(folds) == 3
    assert metrics["videos"] == len(data.videos)
    assert events[-1].folds_done == 3
    lines = (out / "predictions.csv").read_text().splitlines()
    assert len(lines) == 1 + len(data.videos)
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert load_settings(RunConfig, out / "config.yaml") == config
    assert list(out.glob("folds/*/tensorboard/events*"))

    page = write_report(out, metrics, config).read_text()
    assert "Synthetic data" in page
    assert "no test fold was looked at" in page
    assert "http" not in page.replace("http-equiv", "")
    # MOL's own numbers on SAMM with five classes never stand beside synthetic data.
    assert "76.68" not in page
    assert page.count("data:image/png;base64,") >= 4

    before = {path: path.stat().st_mtime_ns for path in out.glob("folds/*/*")}
    again = fit(data, config, options)
    assert again == metrics
    assert {path: path.stat().st_mtime_ns for path in out.glob("folds/*/*")} == before


def test_another_run_or_something_else_in_the_directory_is_refused(prepared, tmp_path):
    data, config, _ = prepared
    out = tmp_path / "run"
    options = RunOptions(out=out, device="cpu", jobs=1, folds=("samm-006",))
    fit(data, config, options)
    loss = config.loss.model_copy(update={"flow_weight": 1.0})
    with pytest.raises(ConfigError, match="config_hash"):
        fit(data, config.model_copy(update={"loss": loss}), options)
    with pytest.raises(ConfigError, match="no such fold"):
        fit(data, config, RunOptions(out=tmp_path / "new", folds=("nobody",)))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/letter.txt").touch()
    with pytest.raises(ConfigError, match="holds no run"):
        fit(data, config, RunOptions(out=tmp_path / "other"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none_is_refused(prepared, tmp_path):
    data, config, _ = prepared
    with pytest.raises(ConfigError, match="no CUDA device"):
        fit(data, config, RunOptions(out=tmp_path, device="cuda"))


def test_an_overfit_on_a_few_clips_reaches_every_target(tmp_path):
    shards = write_shards(tmp_path, subjects=2, words=("Anger", "Happiness"), phases=2, frames=2)
    config = CONFIG.model_copy(
        update={
            "model": TINY.model_copy(update={"dropout": 0.0}),
            "data": DataConfig(flip=False, random_crop=False),
            "training": TrainingConfig(
                steps=120, batch_size=8, learning_rate=2e-3, log_every=1, schedule="cosine"
            ),
        }
    )
    data = load_data([shards], None, config)
    config = fit_to_data(config, data)
    whole = Fold(name="all", train=tuple(range(4)), test=())
    train_fold(data, whole, config, tmp_path / "fold")
    log = read_metric_log(tmp_path / "fold")
    assert np.isfinite([line["total"] for line in log]).all()
    assert log[-1]["expression"] < 0.05
    assert log[-1]["flow"] < 0.2 * log[0]["flow"]
    assert log[-1]["landmarks"] < 0.2 * log[0]["landmarks"]


def test_settings_survive_yaml_and_unknown_ones_are_answered_with_the_nearest(tmp_path):
    for preset in PRESETS.values():
        path = tmp_path / "config.yaml"
        path.write_text(dump_settings(preset))
        assert load_settings(RunConfig, path) == preset
    changed = load_settings(RunConfig, path, ("training.steps=7", "model.flow.redirection=3"))
    assert (changed.training.steps, changed.model.flow.redirection) == (7, 3)
    with pytest.raises(ConfigError, match=r"did you mean training\.learning_rate"):
        load_settings(RunConfig, None, ("training.learning_rat=1",))
    with pytest.raises(ConfigError, match="key=value"):
        load_settings(RunConfig, None, ("nonsense",))


def choosing(selection, **settings):
    return CONFIG.model_copy(
        update={
            "training": CONFIG.training.model_copy(
                update={"selection": selection, "evaluate_every": 2, **settings}
            )
        }
    )


def test_validation_holds_whole_people_out_of_the_training_part(prepared):
    data, _, folds = prepared
    fold, watched = watched_videos(data.samples, folds[0], choosing("validation"))
    people = [{data.samples[i].person for i in part} for part in (fold.train, watched, fold.test)]
    assert all(people)
    assert not people[0] & people[1]
    assert not people[2] & (people[0] | people[1])
    assert sorted((*fold.train, *watched)) == sorted(folds[0].train)
    assert watched_videos(data.samples, folds[0], choosing("validation"))[1] == watched
    assert watched_videos(data.samples, folds[0], choosing("last")) == (folds[0], ())
    assert watched_videos(data.samples, folds[0], choosing("test-best")) == (
        folds[0],
        folds[0].test,
    )


@pytest.mark.parametrize("selection", ["validation", "test-best"])
def test_the_best_model_is_kept_and_survives_an_interruption(prepared, tmp_path, selection):
    data, fitted, folds = prepared
    config = choosing(selection).model_copy(update={"model": fitted.model})

    def train(name, stop=None):
        def on_step(report):
            if report.step == stop:
                raise Stopped

        return train_fold(data, folds[0], config, tmp_path / name, on_step=on_step)

    model, record = train("whole")
    assert record.selection == selection
    assert record.step in {2, 4, 6}
    look = Fold(folds[0].name, folds[0].train, watched_videos(data.samples, folds[0], config)[1])
    normalisation = Normalisation(record.mean, record.std)
    predictions = evaluate_fold(
        model, ClipSource(data, CPU), look, normalisation, np.zeros((68, 2))
    )
    right = [one.predicted == one.label for one in predictions]
    assert np.mean(right) == pytest.approx(record.score)

    with pytest.raises(Stopped):
        train("broken", stop=4)
    again, resumed = train("broken")
    assert (resumed.step, resumed.score) == (record.step, record.score)
    for one, other in zip(model.module.parameters(), again.module.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_validation_needs_two_people_and_an_expression_head(prepared):
    data, fitted, folds = prepared
    alone = Fold("x", folds[1].test, folds[0].test)
    with pytest.raises(TrainingError, match="one person in the training part"):
        watched_videos(data.samples, alone, choosing("validation"))
    headless = choosing("validation").model_copy(
        update={"model": fitted.model.model_copy(update={"use_expression": False})}
    )
    with pytest.raises(TrainingError, match="no accuracy to be chosen by"):
        watched_videos(data.samples, folds[0], headless)


def test_folds_are_chosen_by_name_number_or_range(prepared):
    folds = prepared[2]
    names = [fold.name for fold in folds]
    assert [fold.name for fold in select_folds(folds, ["0-1"])] == names[:2]
    assert [fold.name for fold in select_folds(folds, ["1", names[0]])] == names[:2]
    assert select_folds(folds, [f"0-{len(folds) + 5}"]) == folds
    for name in ("nobody", "7-9", "-", "1-x"):
        with pytest.raises(ConfigError, match="no such fold"):
            select_folds(folds[:2], [name])


def test_scores_of_each_database_come_from_the_same_predictions():
    def said(database, label, predicted):
        probabilities = tuple(1.0 if i == predicted else 0.0 for i in range(2))
        clip = f"clip-{label}"
        return VideoPrediction("f", database, "s", clip, label, probabilities, 1, 1, (0.1,), 0.1)

    metrics = pooled_metrics(
        [said("a", 0, 0), said("a", 1, 1), said("b", 0, 1), said("b", 1, 1)], ("x", "y")
    )
    assert metrics["by_database"]["a"]["recognition"]["accuracy"] == 1.0
    assert metrics["by_database"]["b"]["recognition"]["accuracy"] == 0.5
    assert metrics["by_database"]["b"]["videos"] == 2
    assert metrics["recognition"]["accuracy"] == 0.75
