"""Predictors of others, scored as our own."""

import json
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mol_model.cli import main
from mol_model.clips.source import ClipSource
from mol_model.clips.sums import clip_statistics
from mol_model.clips.views import Normalisation
from mol_model.config.mol import TINY
from mol_model.config.settings import ProtocolConfig, RunConfig, TrainingConfig
from mol_model.networks.build import build
from mol_model.protocols.folds import make_folds
from mol_model.runs.run import fit_to_data, load_data
from mol_model.scoring.evaluation import evaluate_fold, pooled_metrics
from mol_model.scoring.peers import NotInstalled, evaluate_peer, load_flow_predictor, load_predictor
from mol_pipeline.contract.errors import ConfigError, TrainingError
from tests.model.shard_fixture import write_shards

USER_MODULE = '''
import numpy as np

def no_motion(first, second):
    assert first.dtype == np.uint8 and first.shape == second.shape
    return np.zeros((len(first), 2, *first.shape[1:]))

def true_motion(first, second):
    """The fixture's textures move to the right by whole pixels: find how far."""
    shifts = range(6)
    flow = np.zeros((len(first), 2, *first.shape[1:]))
    for one, (a, b) in enumerate(zip(first, second)):
        errors = [np.abs(a[:, 8:-8].astype(int) - b[:, 8 + s:a.shape[1] - 8 + s]).mean()
                  for s in shifts]
        flow[one, 0] = shifts[int(np.argmin(errors))]
    return flow

answer = 42
'''


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    config = RunConfig(model=TINY, training=TrainingConfig(steps=1))
    data = load_data([write_shards(tmp_path_factory.mktemp("shards"))], None, config)
    config = fit_to_data(config, data)
    return data, config, make_folds(data.samples, data.classes, ProtocolConfig())


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "my_peer.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_peer"
    sys.modules.pop("my_peer", None)


def test_no_motion_and_the_mean_shape_score_as_the_baselines_of_our_own_report(
    prepared, user_module
):
    data, config, folds = prepared
    model = build(config)
    source = ClipSource(data, torch.device("cpu"))
    mean = clip_statistics(source).mean_landmarks(data.clips_of(folds[0].train))
    ours = pooled_metrics(
        evaluate_fold(model, source, folds[0], Normalisation(127, 50), mean), data.classes
    )
    shape = mean - 8  # of the centre crop
    peer = evaluate_peer(
        data,
        folds[:1],
        flow=load_flow_predictor(f"{user_module}:no_motion"),
        landmarks=lambda frames: np.broadcast_to(shape, (len(frames), 68, 2)),
    )
    flow, points = ours["flow"], ours["landmarks"]
    assert peer["flow"]["average_end_point_error_px"] == pytest.approx(
        flow["zero_flow_end_point_error_px"]
    )
    assert flow["zero_flow_end_point_error_px"] == pytest.approx(2.0)  # shifts of 0 to 4 px
    assert peer["landmarks"]["inter_ocular_nme_percent"] == pytest.approx(
        points["mean_shape_nme_percent"], abs=1e-9
    )
    assert peer["landmarks"]["failure_rate_percent_at_10"] == 0
    assert peer["videos"] == ours["videos"] == len(folds[0].test)
    assert "recognition" not in peer


def test_a_good_predictor_scores_well_and_a_bad_shape_badly(prepared, user_module):
    data, _, folds = prepared
    good = load_flow_predictor(f"{user_module}:true_motion")
    far = evaluate_peer(
        data, folds, flow=good, landmarks=lambda frames: np.zeros((len(frames), 68, 2))
    )
    assert far["flow"]["average_end_point_error_px"] == pytest.approx(0)
    assert far["landmarks"]["failure_rate_percent_at_10"] == 100
    assert far["folds"] == len(folds)
    only_flow = evaluate_peer(data, folds[:1], flow=good)
    assert "landmarks" not in only_flow


def test_an_answer_of_another_shape_is_refused(prepared):
    data, _, folds = prepared
    with pytest.raises(TrainingError, match=r"the flow predictor gave an array \(2,\)"):
        evaluate_peer(data, folds[:1], flow=lambda first, second: [1, 2])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "must read module:callable"),
        ("no_such_module_here:f", "put its folder into PYTHONPATH"),
        ("my_peer:absent", "no attribute 'absent'"),
        ("my_peer:answer", "is a int, must be callable"),
    ],
)
def test_a_name_that_is_no_function_is_refused(user_module, name, words):
    with pytest.raises(ConfigError, match=words):
        load_predictor(name)


def test_raft_says_what_is_missing_and_downloads_nothing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    absent = load_flow_predictor("raft", tmp_path / "raft.pth")
    assert isinstance(absent, NotInstalled)
    assert "pip install torchvision" in absent.how

    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").touch()
    monkeypatch.delitem(sys.modules, "torchvision")
    monkeypatch.syspath_prepend(tmp_path)
    for weights in (None, tmp_path / "raft.pth"):
        answer = load_flow_predictor("raft", weights)
        assert isinstance(answer, NotInstalled)
        assert "weights not installed" in answer.how


def test_the_command_prints_scores_or_what_is_missing(prepared, user_module):
    data, _, _ = prepared
    shards = ["peers", "--shards", str(data.directories[0])]
    done = CliRunner().invoke(main, [*shards, "--flow-predictor", f"{user_module}:no_motion"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["flow"]["average_end_point_error_px"] == pytest.approx(2.0)
    assert "landmarks" not in printed
    assert printed["synthetic"] is True
    assert CliRunner().invoke(main, shards).exit_code == 2
    raft = CliRunner().invoke(main, [*shards, "--flow-predictor", "raft"])
    assert raft.exit_code == 3
    assert "not installed" in raft.stderr
