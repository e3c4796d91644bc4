"""The blocks against the loop versions of their equations; all sizes differ."""

import pytest
import torch

from mol_model.networks.mol.blocks import (
    ChannelCorrespondenceConvolution,
    F5CBlock,
    FullyConnectedConvolution,
    Stem,
    TransformerMixer,
)
from mol_model.networks.mol.blocks.fcc import DirectionalConvolution
from tests.model import oracles

COUNT, CHANNELS, HEIGHT, WIDTH = 2, 5, 4, 3
TOLERANCE = 1e-5  # float32, sums of at most a few dozen products of order one


def ramp_(module):
    """Fill all parameters with a fixed wave: expected numbers need no random generator."""
    with torch.no_grad():
        for parameter in module.parameters():
            index = torch.arange(parameter.numel(), dtype=torch.float32)
            parameter.copy_((torch.sin(0.7 * index + 0.3) * 0.5).reshape(parameter.shape))
    return module


def features(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(COUNT, CHANNELS, HEIGHT, WIDTH, generator=generator)
    return x.requires_grad_()


def assert_same_with_gradients(got, expected, inputs):
    torch.testing.assert_close(got, expected, atol=TOLERANCE, rtol=TOLERANCE)
    weight = torch.linspace(-1, 1, got.numel()).view_as(got)
    ours = torch.autograd.grad((got * weight).sum(), inputs)
    theirs = torch.autograd.grad((expected * weight).sum(), inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=TOLERANCE, rtol=TOLERANCE)


def test_fcc_v_equals_its_equation():
    block = ramp_(DirectionalConvolution(channels=CHANNELS, size=HEIGHT, direction="vertical"))
    x = features()
    expected = oracles.fcc_vertical(x, block.position, block.kernel)
    assert_same_with_gradients(block(x), expected, [x, block.position, block.kernel])


def test_fcc_h_equals_its_equation():
    block = ramp_(DirectionalConvolution(channels=CHANNELS, size=WIDTH, direction="horizontal"))
    x = features()
    expected = oracles.fcc_horizontal(x, block.position, block.kernel)
    assert_same_with_gradients(block(x), expected, [x, block.position, block.kernel])


def test_fcc_runs_both_orders_and_fuses_them():
    block = ramp_(FullyConnectedConvolution(channels=CHANNELS, height=HEIGHT, width=WIDTH))
    x = features()
    entered = block.entry(x)
    (v1, h1), (h2, v2) = block.branches
    first = oracles.fcc_horizontal(
        oracles.fcc_vertical(entered, v1.position, v1.kernel), h1.position, h1.kernel
    )
    second = oracles.fcc_vertical(
        oracles.fcc_horizontal(entered, h2.position, h2.kernel), v2.position, v2.kernel
    )
    expected = block.fusion(torch.cat([first, second], dim=1))
    assert_same_with_gradients(block(x), expected, [x, v1.kernel, h2.kernel])


def test_fcc_reaches_the_whole_map():
    block = FullyConnectedConvolution(channels=CHANNELS, height=HEIGHT, width=WIDTH)
    x = features()
    (gradient,) = torch.autograd.grad(block(x)[0, 0, 0, 0], x)
    assert (gradient[0].abs().sum(dim=0) > 0).all()


def test_ccc_equals_its_equation():
    block = ramp_(
        ChannelCorrespondenceConvolution(
            channels=CHANNELS, height=HEIGHT, width=WIDTH, neighbours=2
        )
    )
    x = features()
    expected = oracles.ccc(x, block.centre.weight, block.difference.weight, 2)
    assert_same_with_gradients(
        block(x), expected, [x, block.centre.weight, block.difference.weight]
    )


def test_a_channel_is_not_its_own_neighbour():
    block = ChannelCorrespondenceConvolution(
        channels=CHANNELS, height=HEIGHT, width=WIDTH, neighbours=CHANNELS - 1
    )
    index = block.nearest(features().flatten(2))
    for channel in range(CHANNELS):
        assert channel not in index[0, channel]


def test_f5c_adds_each_part_to_its_input():
    mixer = ramp_(FullyConnectedConvolution(channels=CHANNELS, height=HEIGHT, width=WIDTH))
    ccc = ramp_(
        ChannelCorrespondenceConvolution(
            channels=CHANNELS, height=HEIGHT, width=WIDTH, neighbours=2
        )
    )
    x = features()
    block = F5CBlock(channels=CHANNELS, mixer=mixer, ccc=ccc)
    mixed = x + mixer(x)
    torch.testing.assert_close(block(x), mixed + block.exit(ccc(mixed)))
    assert torch.equal(F5CBlock(channels=CHANNELS, mixer=None, ccc=None)(x), x)


def test_the_transformer_keeps_the_shape():
    block = TransformerMixer(channels=6, height=HEIGHT, width=WIDTH, heads=2)
    assert block(torch.randn(2, 6, HEIGHT, WIDTH)).shape == (2, 6, HEIGHT, WIDTH)


def test_the_stem_makes_sixteen_of_one_hundred_and_twenty_eight():
    stem = Stem(channels=(2, 3, 4, 5))
    assert stem(torch.randn(1, 1, 128, 128)).shape == (1, 5, 16, 16)
    assert Stem.output_size(128) == 16


def test_another_map_size_or_too_many_neighbours_is_refused():
    wrong = torch.randn(1, CHANNELS, HEIGHT + 1, WIDTH)
    with pytest.raises(ValueError, match="built for 4x3 features, got 5x3"):
        FullyConnectedConvolution(channels=CHANNELS, height=HEIGHT, width=WIDTH)(wrong)
    with pytest.raises(ValueError, match="built for 4x3 features, got 5x3"):
        ChannelCorrespondenceConvolution(
            channels=CHANNELS, height=HEIGHT, width=WIDTH, neighbours=2
        )(wrong)
    with pytest.raises(ValueError, match="neighbours=5: must be between 1 and 4"):
        ChannelCorrespondenceConvolution(
            channels=CHANNELS, height=HEIGHT, width=WIDTH, neighbours=CHANNELS
        )
