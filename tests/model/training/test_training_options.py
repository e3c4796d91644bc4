"""Where clips come from, what training starts from, and how a step computes."""

import functools

import numpy as np
import pytest
import torch

from mol_model.clips.source import ClipSource, open_source
from mol_model.clips.sums import clip_statistics
from mol_model.config.mol import TINY
from mol_model.config.settings import DataConfig, ProtocolConfig, RunConfig, TrainingConfig
from mol_model.protocols.folds import make_folds
from mol_model.runs.options import RunOptions
from mol_model.runs.run import fit, fit_to_data, load_data
from mol_model.training import optimiser as optimisation
from mol_model.training.batches import SHUFFLED_SHARDS, BatchPlan, epoch_order
from mol_model.training.checkpoint import load_checkpoint
from mol_model.training.fold import train_fold, training_labels
from mol_model.training.metric_log import read_metric_log
from mol_pipeline.contract.errors import ConfigError, TrainingError
from tests.model.shard_fixture import write_shards

CPU = torch.device("cpu")
CONFIG = RunConfig(
    model=TINY.model_copy(update={"dropout": 0.0}),
    data=DataConfig(),
    training=TrainingConfig(
        steps=4, batch_size=4, learning_rate=1e-3, log_every=1, checkpoint_every=2, flow_pairs=1
    ),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    shards = write_shards(tmp_path_factory.mktemp("shards"))
    data = load_data([shards], None, CONFIG)
    return data, fit_to_data(CONFIG, data), make_folds(data.samples, data.classes, ProtocolConfig())


def with_training(config, **settings):
    return config.model_copy(update={"training": config.training.model_copy(update=settings)})


def losses(directory):
    return [line["total"] for line in read_metric_log(directory)]


def test_an_epoch_has_every_clip_once_and_differs_from_the_next():
    clips = list(range(100, 150))
    orders = [epoch_order(clips, 0, "f", epoch) for epoch in range(3)]
    assert all(sorted(order) == clips for order in orders)
    assert orders[0] != orders[1] != orders[2]
    plan = BatchPlan(clips, 20, 0, "f")
    drawn = [clip for step in range(5) for clip in plan.at(step)]
    assert sorted(drawn) == sorted(clips * 2)  # 100 clips are two whole epochs


@pytest.mark.parametrize(("clips", "size"), [(50, 20), (7, 7), (5, 1), (3, 10), (16, 8)])
def test_the_batch_of_a_step_is_the_one_that_replaying_all_before_it_gives(clips, size):
    shards = [clip // 2 for clip in range(clips)]
    waiting, replayed = [], []
    for epoch in range(20):
        waiting += epoch_order(range(clips), 3, "f", epoch, shards)
        while len(waiting) >= size:
            replayed.append(waiting[:size])
            waiting = waiting[size:]
    plan = BatchPlan(range(clips), size, 3, "f", shards)
    assert [plan.at(step) for step in range(len(replayed))] == replayed
    assert plan.at(4) == replayed[4]  # and again, from behind


def test_many_shards_are_mixed_some_at_a_time_and_all_over_the_epochs():
    shards = [clip // 10 for clip in range(1000)]  # 100 shards of 10 clips
    order = epoch_order(range(1000), 0, "f", 0, shards)
    assert sorted(order) == list(range(1000))
    window = 10 * SHUFFLED_SHARDS
    first = {shards[clip] for clip in order[:window]}
    assert len(first) == SHUFFLED_SHARDS  # few files at once
    places = np.array([order.index(clip) for clip in range(10)])
    assert np.ptp(places) > 20  # clips of a shard are spread over the window
    assert {shards[c] for c in epoch_order(range(1000), 0, "f", 1, shards)[:window]} != first


def test_resident_streamed_and_worker_read_clips_are_the_same(prepared):
    data = prepared[0]
    plan = [[0, 5, 3], [7, 1, 2]]
    sources = [
        open_source(data, CPU, "device"),
        open_source(data, CPU, "stream"),
        ClipSource(data, CPU, workers=1),
    ]
    assert sources[0].resident is not None
    assert sources[0].resident["frames"].is_shared()
    assert sources[1].resident is None
    for batches in zip(*(source.batches(plan) for source in sources), strict=True):
        for other in batches[1:]:
            assert other.clips == batches[0].clips
            for a, b in zip(batches[0].tensors(), other.tensors(), strict=True):
                assert torch.equal(a, b)
    assert torch.equal(sources[0].read([4, 9])["flow"], sources[1].read([4, 9])["flow"])


def test_clips_stay_resident_only_where_they_fit(tmp_path):
    shards = write_shards(tmp_path, subjects=2)
    small = CONFIG.model_copy(update={"data": DataConfig(cache_mb=1)})
    assert open_source(load_data([shards], None, small), CPU, "auto").resident is None
    assert open_source(load_data([shards], None, CONFIG), CPU, "auto").resident is not None


def test_statistics_of_some_clips_know_no_others(prepared):
    data = prepared[0]
    some = [1, 4, 7]
    part, whole = (clip_statistics(ClipSource(data, CPU), clips) for clips in (some, None))
    assert part.normalisation(some) == whole.normalisation(some)
    assert np.array_equal(part.mean_landmarks(some), whole.mean_landmarks(some))
    assert not part.grey_sum[0]


def test_the_control_experiment_permutes_labels_of_training_videos_only(prepared):
    data, config, folds = prepared
    control = config.model_copy(update={"data": DataConfig(shuffle_labels=True)})
    true = training_labels(data, folds[0], config)
    shuffled = training_labels(data, folds[0], control)
    test, train = data.clips_of(folds[0].test), data.clips_of(folds[0].train)
    assert torch.equal(true[test], shuffled[test])
    assert not torch.equal(true[train], shuffled[train])
    assert torch.equal(true[train].sort().values, shuffled[train].sort().values)
    by_video = {(data.video_of_clip[clip], int(shuffled[clip])) for clip in train}
    assert len(by_video) == len(folds[0].train)  # all clips of a video agree


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("settings", "within"),
    [({"precision": "bf16"}, 0.05), ({"precision": "tf32"}, 1e-6), ({"compile": True}, 1e-4)],
)
def test_faster_arithmetic_learns_the_same(prepared, tmp_path, monkeypatch, settings, within):
    # The compiler's front end for real; its C++ back end needs a compiler on the machine.
    compiler = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(optimisation.torch, "compile", compiler)
    data, config, folds = prepared
    source = ClipSource(data, CPU)
    train_fold(source, folds[0], config, tmp_path / "plain")
    other = with_training(config, **settings)
    model, _ = train_fold(source, folds[0], other, tmp_path / "other")
    assert losses(tmp_path / "other") == pytest.approx(losses(tmp_path / "plain"), rel=within)
    assert {parameter.dtype for parameter in model.module.parameters()} == {torch.float32}
    if settings == {"precision": "bf16"}:
        assert losses(tmp_path / "other") != losses(tmp_path / "plain")


def test_a_compiled_network_takes_one_choice_of_pairs(prepared, tmp_path):
    data, config, folds = prepared
    other = with_training(config, compile=True, flow_pairs=2)
    with pytest.raises(ConfigError, match="compiled for every choice"):
        train_fold(ClipSource(data, CPU), folds[0], other, tmp_path)


def test_deterministic_kernels_are_asked_for_and_given_back(prepared, tmp_path):
    data, config, folds = prepared
    train_fold(
        ClipSource(data, CPU), folds[0], with_training(config, deterministic=True), tmp_path / "a"
    )
    assert torch.are_deterministic_algorithms_enabled()
    train_fold(ClipSource(data, CPU), folds[0], config, tmp_path / "b")
    assert not torch.are_deterministic_algorithms_enabled()
    assert losses(tmp_path / "a") == losses(tmp_path / "b")  # on a CPU they are so anyway


def test_dfme_trains_before_others_and_is_tested_on_its_own_split(tmp_path):
    parts = ("training", "training", "test-a", "test-b")
    shards = write_shards(
        tmp_path / "dfme", subjects=4, database="dfme", parts=parts, phases=1, frames=2,
        words=("happiness", "fear", "surprise"),
    )  # fmt: skip
    few = with_training(CONFIG, steps=1)
    split = few.model_copy(update={"protocol": ProtocolConfig(name="owners-split")})
    data = load_data([shards], "3", split)
    options = RunOptions(out=tmp_path / "split", device="cpu")
    metrics = fit(data, fit_to_data(split, data), options)
    assert {name: one["videos"] for name, one in metrics["by_fold"].items()} == {
        "test-a": 3,
        "test-b": 3,
    }
    assert "accuracy" not in metrics  # the parts are never pooled

    whole = few.model_copy(update={"protocol": ProtocolConfig(name="all")})
    fit(data, fit_to_data(whole, data), RunOptions(out=tmp_path / "all", device="cpu"))
    checkpoint = tmp_path / "all/folds/all/checkpoint"
    own = load_data([write_shards(tmp_path / "samm", subjects=2, phases=1, frames=2)], None, few)
    tuned = with_training(fit_to_data(few, own), init_from=str(checkpoint))
    folds = make_folds(own.samples, own.classes, ProtocolConfig())
    _, started = train_fold(ClipSource(own, CPU), folds[0], tuned, tmp_path / "tuned")
    assert {"dfme/006", "dfme/009", "samm/007"} <= set(started.people)


def test_a_pretrained_model_starts_others_but_never_tests_its_own_people(tmp_path):
    few = CONFIG.model_copy(update={"protocol": ProtocolConfig(name="all")})
    pretraining = load_data([write_shards(tmp_path / "a", subjects=2)], None, few)
    whole = fit_to_data(few, pretraining)
    metrics = fit(pretraining, whole, RunOptions(out=tmp_path / "pretrained", device="cpu"))
    assert metrics["videos"] == 0
    checkpoint = tmp_path / "pretrained/folds/all/checkpoint"
    record, weights = load_checkpoint(checkpoint)
    assert record.people == ("samm/006", "samm/007")

    # Three classes instead of five: all but the classifier's last layer is taken over.
    data = load_data([write_shards(tmp_path / "b", first_subject=20)], "3", CONFIG)
    config = with_training(fit_to_data(CONFIG, data), init_from=f"{checkpoint}.json", steps=1)
    folds = make_folds(data.samples, data.classes, ProtocolConfig())
    rate = with_training(config, learning_rate=1e-12)
    model, started = train_fold(ClipSource(data, CPU), folds[0], rate, tmp_path / "tuned")
    state = model.module.state_dict()
    for name in ("stem.layers.0.weight", "flow.conv4.0.weight", "landmarks.points.bias"):
        torch.testing.assert_close(state[name], weights[f"model.{name}"], rtol=0, atol=1e-6)
    assert len(data.classes) == 3
    assert started.started_from == record.tensors_sha256
    assert set(record.people) < set(started.people)

    same = load_data([tmp_path / "a"], None, CONFIG)
    leaking = with_training(fit_to_data(CONFIG, same), init_from=str(checkpoint))
    with pytest.raises(TrainingError, match=r"was trained on samm/006, whom fold samm-006 tests"):
        fit(same, leaking, RunOptions(out=tmp_path / "leak", device="cpu"))
    assert not (tmp_path / "leak").exists()

    other = TINY.model_copy(update={"stem_channels": (8, 16, 24, 16)})
    foreign = fit_to_data(config.model_copy(update={"model": other}), data)
    with pytest.raises(TrainingError, match=r"is of another network, which differs in stem"):
        train_fold(ClipSource(data, CPU), folds[0], foreign, tmp_path / "foreign")
