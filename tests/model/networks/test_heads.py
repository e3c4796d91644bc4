"""Heads and the whole network: shapes, gradients, variants, refusals."""

import pytest
import torch

from mol_model.config.mol import TINY, ModelConfig
from mol_model.config.settings import PRESETS
from mol_model.networks.mol.build import build_network
from mol_model.networks.mol.heads import ExpressionHead, FlowHead, LandmarkHead
from mol_model.networks.mol.heads.correlation import Correlation
from mol_model.networks.mol.heads.expression import arrange, sequence_length, start_from_differences
from mol_model.networks.summary import summarise
from mol_pipeline.contract.errors import ConfigError
from tests.model import oracles


def test_the_correlation_equals_shifted_windows():
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(2, 5, 4, 3, generator=generator, requires_grad=True)
    second = torch.randn(2, 5, 4, 3, generator=generator, requires_grad=True)
    module = Correlation(height=4, width=3, displacements=5, dilation=2)
    expected = oracles.correlation(first, second, displacements=5, dilation=2)
    torch.testing.assert_close(module(first, second), expected, atol=1e-5, rtol=1e-5)
    ours = torch.autograd.grad(module(first, second).square().sum(), [first, second])
    theirs = torch.autograd.grad(expected.square().sum(), [first, second])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_an_even_number_of_displacements_is_refused():
    with pytest.raises(ValueError, match="displacements=4"):
        Correlation(height=4, width=3, displacements=4, dilation=1)


def test_pair_features_are_interleaved_first_second():
    first = torch.arange(3.0).view(1, 3, 1, 1, 1)
    second = first + 10
    order = {
        "concatenate": [0, 10, 1, 11, 2, 12],
        "all": [0, 1, 2, 10, 11, 12],
        "first": [0, 1, 2],
        "second": [10, 11, 12],
        "add": [10, 12, 14],
        "subtract": [10, 10, 10],
    }
    for how, expected in order.items():
        assert arrange(first, second, how).flatten().tolist() == expected
        assert sequence_length(3, how) == len(expected)


def test_the_expression_head_starts_blind_to_what_does_not_move():
    conv = torch.nn.Conv3d(4, 3, (2, 2, 5), stride=(2, 2, 1), bias=False)
    start_from_differences(conv.weight)
    still_first, still_second = torch.randn(2, 1, 4, 4, 4)
    pairs = 7
    sequence = arrange(
        still_first[:, None].expand(1, pairs, 4, 4, 4),
        still_second[:, None].expand(1, pairs, 4, 4, 4),
        "concatenate",
    )
    assert conv(sequence).abs().max() < 1e-3
    assert conv(torch.randn_like(sequence)).abs().max() > 0.1


def test_the_expression_head_computes_its_sizes_for_any_depth():
    for depth in (2, 6, 14, 30):
        head = ExpressionHead(
            channels=3,
            height=16,
            width=12,
            depth=depth,
            classes=4,
            conv_channels=5,
            hidden=6,
            dropout=0.5,
        )
        assert head(torch.randn(2, 3, 16, 12, depth)).shape == (2, 4)


def test_the_flow_head_encodes_each_frame_once():
    head = build_network(TINY).flow
    assert isinstance(head, FlowHead)
    seen = []
    head.encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    features = torch.randn(2, 7, 32, 16, 16)
    head(torch.randn(2, 8, 128, 128), features, features)
    assert seen == [2 * 8]


def test_landmarks_start_in_the_middle_of_the_crop():
    head = LandmarkHead(channels=3, height=8, width=9, conv_channels=2, hidden=4, start_px=63.5)
    points = head(torch.zeros(2, 3, 8, 9))
    assert points.shape == (2, 68, 2)
    assert (points - 63.5).abs().max() < 2


@pytest.mark.parametrize("frames", [2, 4, 8, 16])
def test_shapes_for_every_clip_length(frames):
    model = build_network(TINY.model_copy(update={"frames": frames, "classes": 3}))
    output = model(torch.randn(1, frames, 128, 128))
    assert output.expression.shape == (1, 3)
    assert output.flow.shape == (1, frames - 1, 2, 128, 128)
    assert output.landmarks.shape == (1, frames - 1, 68, 2)


def test_gradients_reach_every_parameter_and_are_finite():
    torch.manual_seed(0)
    model = build_network(TINY)
    output = model(torch.randn(2, 8, 128, 128))
    loss = output.expression.square().sum() + output.flow.square().mean()
    (loss + output.landmarks.mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_chosen_flow_pairs_equal_those_of_the_full_pass():
    torch.manual_seed(0)
    model = build_network(TINY).eval()
    clips = torch.randn(2, 8, 128, 128)
    with torch.inference_mode():
        every, some = model(clips).flow, model(clips, [1, 5]).flow
    torch.testing.assert_close(some, every[:, [1, 5]], atol=1e-5, rtol=1e-4)


VARIANTS = {
    "w/o OFE": {"use_flow": False},
    "w/o FLD": {"use_landmarks": False},
    "w/o MER": {"use_expression": False},
    "w/o F5C": {"f5c_blocks": 0},
    "2 F5C": {"f5c_blocks": 2},
    "w/o CCC": {"use_ccc": False},
    "w/o FCC": {"mixer": "none"},
    "FCC-V": {"mixer": "fcc_v"},
    "FCC-H": {"mixer": "fcc_h"},
    "transformer": {"mixer": "transformer"},
    "first": {"expression_input": "first"},
    "subtract": {"expression_input": "subtract"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_ablation_is_a_setting_and_runs(name):
    config = TINY.model_copy(update=VARIANTS[name])
    output = build_network(config)(torch.randn(1, 8, 128, 128))
    assert (output.flow is None) == (not config.use_flow)
    assert (output.landmarks is None) == (not config.use_landmarks)
    assert (output.expression is None) == (not config.use_expression)


def test_the_full_size_has_the_published_parts():
    summary = summarise(PRESETS["paper"])
    parts = summary["by_part"]
    # The flow, expression and landmark heads and the stem have the release's sizes.
    assert parts["flow"] == pytest.approx(39.73e6, rel=1e-3)
    assert parts["expression"] == pytest.approx(0.739e6, rel=1e-3)
    assert parts["landmarks"] == pytest.approx(3.318e6, rel=1e-3)
    assert parts["stem"] == pytest.approx(0.019e6, rel=2e-2)
    assert summary["parameters"] == sum(parts.values())
    assert summary["gflop_per_clip"] > 10


def test_wrong_input_and_senseless_settings_are_refused():
    model = build_network(TINY)
    with pytest.raises(ValueError, match=r"takes \[batch, 8, 128, 128\]"):
        model(torch.randn(1, 8, 120, 128))
    nothing = {"use_expression": False, "use_flow": False, "use_landmarks": False}
    with pytest.raises(ConfigError, match="all off"):
        build_network(TINY.model_copy(update=nothing))
    with pytest.raises(ConfigError, match="neighbours=32"):
        build_network(TINY.model_copy(update={"neighbours": 32}))
    with pytest.raises(ValueError, match="multiple"):
        ModelConfig(crop_px=100)
