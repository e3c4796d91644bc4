"""What only a GPU can show; `make gpu` runs it on one, with nothing but Python and torch.

Without CUDA all is skipped. `MOL_TEST_DEVICE=cpu` runs the same tests on the CPU, which proves the
tests, and nothing about CUDA. Tolerances are norms of a difference over the norm of what the CPU
computed in float32.
"""

import copy
import os

import pytest
import torch

from mol_model.clips.source import ClipSource, open_source
from mol_model.config.mol import TINY
from mol_model.config.settings import DataConfig, ProtocolConfig, RunConfig, TrainingConfig
from mol_model.networks.build import build
from mol_model.networks.precision import autocast, set_precision, store_channels_last
from mol_model.protocols.folds import make_folds
from mol_model.runs.options import RunOptions
from mol_model.runs.run import fit, fit_to_data, load_data
from mol_model.training.checkpoint import load_checkpoint
from mol_model.training.fold import train_fold
from mol_model.training.metric_log import read_metric_log
from mol_model.training.optimiser import make_optimiser
from tests.model.shard_fixture import write_shards

ASKED = os.environ.get("MOL_TEST_DEVICE", "cuda")
DEVICE = torch.device(ASKED)
ON_CUDA = DEVICE.type == "cuda"
CPU = torch.device("cpu")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        ON_CUDA and not torch.cuda.is_available(),
        reason="no CUDA device; MOL_TEST_DEVICE=cpu runs the tests themselves",
    ),
]

TOLERANCES = {"float32": 1e-4, "tf32": 2e-2, "bf16": 1e-1}
"""Of outputs and of the whole gradient: 24, 11 and 8 bits a product."""

CONFIG = RunConfig(
    model=TINY.model_copy(update={"dropout": 0.0}),
    data=DataConfig(),
    training=TrainingConfig(
        steps=4, batch_size=4, learning_rate=1e-3, log_every=1, checkpoint_every=2, flow_pairs=1
    ),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Data, settings that fit it, and its folds."""
    shards = write_shards(tmp_path_factory.mktemp("shards"))
    data = load_data([shards], None, CONFIG)
    return data, fit_to_data(CONFIG, data), make_folds(data.samples, data.classes, ProtocolConfig())


@pytest.fixture(autouse=True)
def _as_before():
    """What torch is told of precision and determinism is told for one test."""
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = cudnn
    torch.use_deterministic_algorithms(False)


def with_training(config, **settings):
    return config.model_copy(update={"training": config.training.model_copy(update=settings)})


def pass_of(module, clips, training, device):
    """Outputs of a pass, and the whole gradient of their squares, as float64 on the CPU."""
    set_precision(training, device)
    module.zero_grad()
    with autocast(training, device):
        outputs = [one for one in module(clips.to(device)) if one is not None]
    torch.stack([one.float().square().mean() for one in outputs]).sum().backward()
    gradient = [one.grad.flatten() for one in module.parameters() if one.grad is not None]
    return [one.detach().double().cpu() for one in (*outputs, torch.cat(gradient))]


def distance(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = build(CONFIG).module
    side = CONFIG.model.crop_px
    return module, torch.randn(4, CONFIG.model.frames, side, side)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("precision", TOLERANCES)
def test_outputs_and_gradients_are_those_of_the_cpu(network, precision, channels_last):
    module, clips = network
    expected = pass_of(copy.deepcopy(module), clips, TrainingConfig(), CPU)
    other = copy.deepcopy(module).to(DEVICE)
    if channels_last:
        store_channels_last(other)
        kernels = [one for one in other.parameters() if one.dim() == 4]
        assert all(one.is_contiguous(memory_format=torch.channels_last) for one in kernels)
    found = pass_of(other, clips, TrainingConfig(precision=precision), DEVICE)
    distances = [distance(one, two) for one, two in zip(found, expected, strict=True)]
    assert max(distances) < TOLERANCES[precision], distances


def test_fused_adam_takes_the_steps_of_plain_adam(network):
    module, clips = network
    trained = []
    for device in (CPU, DEVICE):
        one = copy.deepcopy(module).to(device)
        optimiser = make_optimiser(one, TrainingConfig(learning_rate=1e-3), device)
        assert optimiser.defaults["fused"] is (device.type == "cuda")
        for _ in range(3):
            pass_of(one, clips, TrainingConfig(), device)
            optimiser.step()
        trained.append(torch.cat([p.detach().double().cpu().flatten() for p in one.parameters()]))
    assert distance(trained[1], trained[0]) < 1e-3


def test_streamed_and_pinned_clips_are_the_resident_ones(prepared):
    data = prepared[0]
    plan = [[0, 5, 3], [7, 1, 2], [4, 6, 8]]
    resident, streamed = (open_source(data, DEVICE, where) for where in ("device", "stream"))
    assert resident.resident is not None and streamed.resident is None
    for one, other in zip(resident.batches(plan), streamed.batches(plan), strict=True):
        assert one.clips == other.clips
        for a, b in zip(one.tensors(), other.tensors(), strict=True):
            assert a.device.type == b.device.type == DEVICE.type
            assert torch.equal(a, b)


def losses(directory):
    return [line["total"] for line in read_metric_log(directory)]


class Stopped(BaseException):
    pass


def weights_of(model):
    return [one.cpu() for one in model.module.state_dict().values()]


def test_a_stopped_fold_continues_to_the_same_numbers(prepared, tmp_path):
    data, config, folds = prepared
    config = with_training(config, deterministic=True)
    source = ClipSource(data, DEVICE)
    whole, _ = train_fold(source, folds[0], config, tmp_path / "whole")

    def stop(report):
        if report.step == 3:
            raise Stopped

    with pytest.raises(Stopped):
        train_fold(source, folds[0], config, tmp_path / "parts", on_step=stop)
    assert load_checkpoint(tmp_path / "parts/checkpoint")[0].step == 2
    continued, _ = train_fold(source, folds[0], config, tmp_path / "parts")
    for one, other in zip(weights_of(whole), weights_of(continued), strict=True):
        assert torch.equal(one, other)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_deterministic_kernels_give_the_same_bits_again(prepared, tmp_path):
    data, config, folds = prepared
    config = with_training(config, deterministic=True)
    source = ClipSource(data, DEVICE)
    first, second = (
        weights_of(train_fold(source, folds[0], config, tmp_path / name)[0]) for name in "ab"
    )
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_training_in_fewer_bits_stays_near_float32(prepared, tmp_path, precision):
    data, config, folds = prepared
    source = ClipSource(data, DEVICE)
    for name in ("float32", precision):
        train_fold(source, folds[0], with_training(config, precision=name), tmp_path / name)
    exact, rounded = losses(tmp_path / "float32"), losses(tmp_path / precision)
    assert rounded == pytest.approx(exact, rel=0.1)


@pytest.mark.skipif(not ON_CUDA, reason="the compiler of the CPU is another one")
def test_a_compiled_network_trains_as_the_plain_one(prepared, tmp_path):
    data, config, folds = prepared
    config = with_training(config, flow_pairs=None, steps=2)
    source = ClipSource(data, DEVICE)
    for compiled in (False, True):
        train_fold(
            source, folds[0], with_training(config, compile=compiled), tmp_path / str(compiled)
        )
    assert losses(tmp_path / "True") == pytest.approx(losses(tmp_path / "False"), rel=1e-2)


def test_two_folds_at_once_share_the_clips_and_give_the_numbers_of_one(prepared, tmp_path):
    """Clips that lie on the device travel to the processes of the folds by handle."""
    data, config, folds = prepared
    config = with_training(config, deterministic=True)
    names = tuple(fold.name for fold in folds[:2])
    metrics = [
        fit(data, config, RunOptions(tmp_path / str(jobs), ASKED, jobs=jobs, folds=names))
        for jobs in (1, 2)
    ]
    for name in names:
        one, other = (losses(tmp_path / str(jobs) / "folds" / name) for jobs in (1, 2))
        assert len(one) == config.training.steps and one == other
    assert metrics[0] == metrics[1]
