"""Memory and devices of a run: shares, bounded passes, what is released, what cannot be had."""

import gc
import io
import pickle
import types
import weakref
from multiprocessing.reduction import ForkingPickler

import pytest
import torch

from mol_model import distributed
from mol_model.clips import source as clip_source
from mol_model.clips.source import ClipSource, open_source
from mol_model.clips.sums import clip_statistics
from mol_model.clips.views import Normalisation
from mol_model.config.mol import TINY, ExpressionInput
from mol_model.config.settings import RunConfig, TrainingConfig
from mol_model.networks.build import build
from mol_model.networks.mol.build import build_network, has_unused_branch
from mol_model.networks.mol.network import MOL
from mol_model.networks.precision import set_precision
from mol_model.protocols.folds import Fold, make_folds
from mol_model.runs import failures, fold_jobs
from mol_model.runs.options import RunOptions
from mol_model.runs.run import fit, fit_to_data, load_data
from mol_model.runs.status import read_states
from mol_model.scoring.evaluation import CLIPS_AT_ONCE, evaluate_fold, recognition_accuracy
from mol_model.training import fold as training
from mol_pipeline.contract.errors import TrainingError
from tests.model.shard_fixture import write_shards

CPU = torch.device("cpu")
CONFIG = RunConfig(
    model=TINY.model_copy(update={"use_flow": False, "f5c_blocks": 0, "dropout": 0.0}),
    training=TrainingConfig(steps=2, batch_size=2, log_every=1, checkpoint_every=1),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Data, settings that fit it, and its folds; a video has more clips than one pass takes."""
    shards = write_shards(
        tmp_path_factory.mktemp("shards"), subjects=2, phases=CLIPS_AT_ONCE + 3, frames=2
    )
    data = load_data([shards], None, CONFIG)
    config = fit_to_data(CONFIG, data)
    return data, config, make_folds(data.samples, data.classes, config.protocol)


def test_folds_at_once_share_the_memory_for_clips(prepared):
    data = prepared[0]
    source = ClipSource(data, CPU)
    clips = range(len(data.video_of_clip))
    data.read(clips)
    assert data._cache
    part = pickle.loads(pickle.dumps(source.share_cache(16))).data
    assert not data._cache  # the main process keeps nothing while folds work
    assert part.cache_bytes == data.cache_bytes // 16
    part.cache_bytes = part._room = 2 * data.bytes // len(clips)
    part.read(clips)
    assert len(part._cache) == 2
    assert torch.equal(part.read([3])["frames"], data.read([3])["frames"])


def test_processes_of_torchrun_on_one_machine_share_it_too(prepared, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    data = load_data(prepared[0].directories, None, CONFIG)
    assert data.cache_bytes == CONFIG.data.cache_mb // 2 * 2**20
    assert distributed.count_on_node() == 2


def test_a_video_of_many_clips_is_tested_a_few_at_a_time_with_the_same_numbers(
    prepared, monkeypatch
):
    data, config, folds = prepared
    torch.manual_seed(0)
    with_flow = config.model.model_copy(update={"use_flow": True})
    model = build(config.model_copy(update={"model": with_flow}))
    source, fold = ClipSource(data, CPU), Fold("x", folds[0].train, folds[0].test[:2])
    shape = clip_statistics(source).mean_landmarks(data.clips_of(fold.train))
    normalisation = Normalisation(100.0, 50.0)
    sizes = []
    forward = MOL.forward

    def counted(self, clips, *more, **others):
        sizes.append(len(clips))
        return forward(self, clips, *more, **others)

    monkeypatch.setattr(MOL, "forward", counted)
    few = evaluate_fold(model, source, fold, normalisation, shape)
    right = recognition_accuracy(model, source, fold.test, normalisation)
    assert max(sizes) == CLIPS_AT_ONCE
    assert sum(sizes) == 2 * len(data.clips_of(fold.test))

    monkeypatch.setattr("mol_model.scoring.evaluation.CLIPS_AT_ONCE", 1000)
    at_once = evaluate_fold(model, source, fold, normalisation, shape)
    assert right == recognition_accuracy(model, source, fold.test, normalisation)
    for one, other in zip(few, at_once, strict=True):
        for name, value in vars(one).items():
            expected = getattr(other, name)
            exact = isinstance(value, int | str) or name in ("zero_flow_error", "mean_shape_nme")
            assert value == (expected if exact else pytest.approx(expected, rel=1e-5)), name


@pytest.mark.parametrize("precision", ["tf32", "bf16", "float32"])
def test_tests_are_of_full_float32_whatever_the_training_asked_for(
    prepared, monkeypatch, precision
):
    data, config, folds = prepared
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    set_precision(TrainingConfig(precision=precision), torch.device("cuda"))
    asked = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    assert asked == (("highest", False) if precision == "float32" else ("high", True))
    seen = set()
    forward = MOL.forward

    def looked_at(self, *given, **more):
        autocast = torch.is_autocast_enabled("cpu")
        seen.add((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, autocast))
        return forward(self, *given, **more)

    monkeypatch.setattr(MOL, "forward", looked_at)
    model, source = build(config), ClipSource(data, CPU)
    fold = Fold("x", folds[0].train, folds[0].test[:1])
    shape = clip_statistics(source).mean_landmarks(data.clips_of(fold.train))
    try:
        evaluate_fold(model, source, fold, Normalisation(0.0, 1.0), shape)
        recognition_accuracy(model, source, fold.test, Normalisation(0.0, 1.0))
        assert seen == {("highest", False, False)}
        assert asked == (
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.allow_tf32,
        )
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            "Tried to allocate",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 12 bytes"), "12 bytes"),
        (MemoryError(), "MemoryError"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
            "reads clips died",
        ),
        (OSError(28, "No space left on device"), "cannot be written"),
    ],
)
def test_a_fold_without_memory_is_named_leaves_nothing_behind_and_others_go_on(
    prepared, tmp_path, monkeypatch, error, words
):
    data, config, _ = prepared
    models = []
    loss = training.model_loss

    def refused(model, *given, **more):
        models.append(weakref.ref(model))
        if len(models) == 2:  # the second step of the first fold
            raise type(error)(*error.args)  # an error that is kept would keep its frames
        return loss(model, *given, **more)

    monkeypatch.setattr(training, "model_loss", refused)
    monkeypatch.setattr(fold_jobs, "draw_example", lambda *given: None)
    with pytest.raises(TrainingError, match=f"1 of 2 folds failed .*{words}") as told:
        fit(data, config, RunOptions(out=tmp_path / "run", device="cpu", jobs=1))
    if "written" not in words:
        assert failures.LESS_MEMORY in str(told.value)
    gc.collect()
    assert models[0]() is None
    states = {one.fold: one.state for one in read_states(tmp_path / "run")}
    assert list(states.values()) == ["failed", "done"]


def test_clips_for_which_a_device_has_no_room_stream(prepared, monkeypatch):
    def no_room(*given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(clip_source, "_all_clips", no_room)
    assert open_source(prepared[0], CPU, "auto").resident is None
    with pytest.raises(torch.OutOfMemoryError):  # asked for by name: named where it is caught
        open_source(prepared[0], CPU, "device")


@pytest.mark.parametrize("side", ["dumps", "loads"])
def test_clips_stream_where_cuda_memory_cannot_be_shared(prepared, monkeypatch, side):
    """By a stand-in for a batch on CUDA: not run on a device."""

    def refuse(*given):
        raise RuntimeError("CUDA error: operation not supported")

    source = ClipSource(prepared[0], CPU, resident=OnCuda())
    if side == "dumps":
        monkeypatch.setattr(ForkingPickler, "dumps", refuse)
        sent = pickle.dumps(source)
    else:
        sent = pickle.dumps(source)
        monkeypatch.setattr(clip_source.pickle, "loads", refuse)
    received = pickle.Unpickler(io.BytesIO(sent)).load()
    assert received.resident is None
    assert torch.equal(received.read([1])["frames"], prepared[0].read([1])["frames"])


class OnCuda:
    """Looks like resident clips on CUDA."""

    device = torch.device("cuda", 1)


def test_a_copy_is_waited_for_by_the_stream_of_its_own_device(monkeypatch):
    asked = []
    stream = types.SimpleNamespace(wait_event=asked.append)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: asked.append(device) or stream)
    batch = types.SimpleNamespace(tensors=lambda: ())
    assert clip_source._arrived(batch, "copied", torch.device("cuda", 1)) is batch
    assert asked == [torch.device("cuda", 1), "copied"]


INPUTS = [{"expression_input": one} for one in ExpressionInput.__args__]
VARIANTS = [
    {"use_expression": expression, "use_flow": flow, "use_landmarks": landmarks, **taken}
    for expression in (True, False)
    for flow in (True, False)
    for landmarks in (True, False)
    for taken in (INPUTS if expression else [{}])
    if expression or flow or landmarks
    if not flow or taken.get("expression_input") in (None, "first")  # the others take long
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: "-".join(map(str, one.values())))
def test_it_is_known_which_branches_get_no_gradient(variant):
    config = TINY.model_copy(update={"frames": 2, "crop_px": 64, "neighbours": 2, **variant})
    model = build_network(config).eval()
    output = model(torch.zeros(1, 2, 64, 64))
    torch.stack([one.sum() for one in output if one is not None]).sum().backward()
    unused = any(parameter.grad is None for parameter in model.parameters())
    assert has_unused_branch(config) == unused
