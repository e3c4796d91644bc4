"""Sizes of published networks, and their layers against slow versions; sizes differ."""

import math

import pytest
import torch
from torch.nn import functional

from mol_model.networks import htnet, mmnet, off_apexnet, rcn, sssnet, ststnet
from mol_pipeline.contract.errors import ConfigError
from tests.model.networks.clips import face_points, model_of, ramp_, some_views


def parameters(module, preset="paper", **settings):
    with torch.device("meta"):
        model, _ = model_of(module.network, preset, **settings)
    return sum(weights.numel() for weights in model.parameters())


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (ststnet, 1_683),
        (off_apexnet, 807_909),
        (sssnet, 1_349_251),
        (rcn, 51_139),
        (htnet, 139_582_982),
    ],
)
def test_a_published_network_has_the_parameters_of_its_publication(module, expected):
    assert parameters(module, classes=3) == expected


def test_sizes_that_no_publication_counts():
    """By layer: what comes in x what goes out, biases, two numbers a normalised channel."""
    streams = 2 * ((25 * 6 + 6) + (6 * 25 * 16 + 16))
    hidden = (1568 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 3 + 3)
    assert parameters(off_apexnet, "two-stream", classes=3) == streams + hidden
    assert parameters(mmnet, classes=5) == 9_437_817  # published: about 10 M
    assert parameters(htnet, "narrow", classes=3) < 1_000_000


def test_strain_is_not_seen_by_off_apexnet():
    views, _ = some_views(2)
    for form in ("one-stream", "two-stream"):
        model, _ = model_of(off_apexnet.network, form=form)
        pictures = model.picture(views["key-flow"], views["key-landmarks"])
        changed = pictures.clone()
        changed[:, 2] += 1
        model.eval()
        assert torch.equal(model.network(pictures), model.network(changed))


def test_a_stream_of_ststnet_equals_its_loops():
    network = ramp_(ststnet.STSTNet(streams=(2, 3), classes=3, dropout=0.0)).eval()
    picture = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    conv, norm = network.streams[0][0], network.streams[0][2]
    padded = functional.pad(picture, (2, 2, 2, 2))
    for channel, i, j in ((0, 0, 0), (1, 29, 29), (1, 7, 12)):
        total = conv.bias[channel]
        for source in range(3):
            for a in range(3):
                for b in range(3):
                    total = (
                        total + conv.weight[channel, source, a, b] * padded[0, source, i + a, j + b]
                    )
        total = torch.relu(total) / math.sqrt(1 + norm.eps) * norm.weight[channel]
        found = network.streams[0][:3](picture)[0, channel, i, j]
        torch.testing.assert_close(found, total + norm.bias[channel], atol=1e-5, rtol=1e-5)
    pooled = network.streams[0](picture)
    whole = network.streams[0][:3](picture)
    assert pooled.shape == (1, 2, 10, 10)
    assert pooled[0, 1, 0, 0] == whole[0, 1, :2, :2].max()  # the pool's border lies outside
    assert pooled[0, 1, 4, 6] == whole[0, 1, 11:14, 17:20].max()


def test_the_recurrent_convolution_runs_the_same_weights_again():
    block = ramp_(rcn.RecurrentConvolution(maps=3, repeats=2)).eval()
    x = torch.randn(2, 3, 4, 5)
    y = block.back(x + block.back(x + block.forth(x)))
    assert torch.equal(block(x), y)
    assert len(list(block.parameters())) == 8


def test_the_attention_of_classes_equals_its_loops():
    maps, weight = torch.randn(2, 3, 2, 4), torch.randn(5, 3, 2, 4)
    expected = torch.zeros(2, 1, 2, 4)
    for clip in range(2):
        for label in range(5):
            seen = (maps[clip] * weight[label]).sum(dim=0)
            expected[clip, 0] += (seen - seen.min()) / (seen.max() - seen.min()) / 5
    torch.testing.assert_close(rcn.class_attention(maps, weight), expected)


def test_the_channel_norm_equals_layer_norm():
    norm = ramp_(htnet.ChannelNorm(5))
    x = torch.randn(2, 5, 3, 4)
    gain, shift = norm.gain.flatten(), norm.shift.flatten()
    expected = functional.layer_norm(x.movedim(1, -1), (5,), gain, shift, 1e-5).movedim(-1, 1)
    torch.testing.assert_close(norm(x), expected, atol=1e-5, rtol=1e-5)


def test_the_attention_of_a_block_equals_its_loops():
    block = ramp_(htnet.BlockAttention(channels=7, heads=3, dropout=0.0))  # heads of 2 channels
    x = torch.randn(2, 7, 2, 3)
    weight = block.to_qkv.weight[:, :, 0, 0]
    expected = torch.zeros(2, 6, 6)
    for clip in range(2):
        tokens = x[clip].flatten(1)  # [7, 6]
        query, key, value = (weight[6 * i : 6 * i + 6] @ tokens for i in range(3))
        for head in range(3):
            rows = slice(2 * head, 2 * head + 2)
            for i in range(6):
                scores = [torch.dot(query[rows, i], key[rows, j]) / math.sqrt(2) for j in range(6)]
                shares = torch.softmax(torch.stack(scores), dim=0)
                expected[clip, rows, i] = (value[rows] * shares).sum(dim=1)
    out = block.to_out(expected.view(2, 6, 2, 3))
    torch.testing.assert_close(block(x), out, atol=1e-5, rtol=1e-5)


def test_blocks_are_squares_of_the_map_and_go_back():
    x = torch.arange(2 * 3 * 4 * 8.0).view(2, 3, 4, 8)
    blocks = htnet.cut_blocks(x, 2)
    assert blocks.shape == (8, 3, 2, 4)
    assert torch.equal(blocks[4 + 2 + 1], x[1, :, 2:, 4:])
    assert torch.equal(blocks[1], x[0, :, :2, 4:])
    assert torch.equal(htnet.join_blocks(blocks, 2), x)


def test_queries_and_keys_have_no_part_in_htnet_as_published_but_in_the_narrow_one():
    x = torch.randn(3, 8, 2, 2)
    for blocks, attends in ((x[:, :, :1, :1], False), (x, True)):
        layer = ramp_(htnet.BlockAttention(channels=8, heads=2, dropout=0.0))
        before = layer(blocks)
        with torch.no_grad():
            layer.to_qkv.weight[:16] *= 3
        assert torch.allclose(layer(blocks), before, atol=1e-5) is not attends
    for preset, side in (("paper", 1), ("narrow", 2)):
        with torch.device("meta"):
            model, _ = model_of(htnet.network, preset)
        assert {tuple(level.position.shape) for level in model.network.levels} == {(side, side)}


def test_four_pieces_are_eyes_and_mouth_corners():
    size, crop = 28, 56
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    picture = torch.stack([x, y]).float()[None]
    points = face_points(1, crop)
    points[0, 54] = torch.tensor([55.0, 55.0])  # a piece stays inside the picture
    found = htnet.four_pieces(picture, points, crop)[0]
    eyes = [points[0, 36:42].mean(dim=0), points[0, 42:48].mean(dim=0)]
    places = [[eyes[0], points[0, 48]], [eyes[1], points[0, 54]]]
    for row in range(2):
        for column in range(2):
            centre = ((places[row][column] + 0.5) / 2 - 0.5).round().clamp(7, 21)
            piece = found[:, 14 * row : 14 * row + 14, 14 * column : 14 * column + 14]
            assert piece[0, 0].tolist() == list(range(int(centre[0]) - 7, int(centre[0]) + 7))
            assert piece[1, :, 0].tolist() == list(range(int(centre[1]) - 7, int(centre[1]) + 7))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 28, "patch": 5}, "model.size=28, model.patch=5"),
        ({"size": 28, "patch": 14}, "into 4 x 4 blocks"),
        ({"width": 4, "heads": 5}, "model.heads=5: more than the 4 channels"),
    ],
)
def test_settings_of_htnet_that_do_not_go_together_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        model_of(htnet.network, **settings)


def test_heads_of_mmnet_that_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match=r"model\.heads=3: must divide 64"):
        model_of(mmnet.network, heads=3)


def test_attention_of_mmnet_goes_on_from_the_block_before():
    block = ramp_(mmnet.ContinuousAttentionBlock(inputs=3, outputs=4, stride=2)).eval()
    x, before = torch.randn(2, 3, 6, 4), torch.rand(2, 1, 6, 4)
    plain, own = block(x, None)
    found, attention = block(x, before)
    pooled = torch.stack(
        [
            before[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].amax(dim=(2, 3))
            for i in range(3)
            for j in range(2)
        ],
        dim=-1,
    ).view(2, 1, 3, 2)
    torch.testing.assert_close(attention, own * pooled)
    torch.testing.assert_close(found, plain * pooled)
    maps = plain / own
    weight, norm = block.attention[0].weight[0, :, 0, 0], block.attention[1]
    seen = weight[0] * maps.mean(dim=1) + weight[1] * maps.amax(dim=1)
    seen = seen / math.sqrt(1 + norm.eps) * norm.weight + norm.bias
    torch.testing.assert_close(own[:, 0], torch.sigmoid(seen), atol=1e-5, rtol=1e-5)


def test_mmnet_sees_what_changes_and_the_face_at_the_onset():
    views, _ = some_views(2)
    model, _ = model_of(mmnet.network)
    seen = []
    model.entry.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model.positions.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model.eval()
    frames = views["key-frames"]
    logits = model(frames)
    onset, apex = (
        functional.interpolate(frames[:, i : i + 1], size=(112, 112), mode="bilinear")
        for i in (0, 1)
    )
    torch.testing.assert_close(seen[0], (apex - onset).expand(-1, 3, -1, -1))
    torch.testing.assert_close(seen[1], onset.expand(-1, 3, -1, -1))
    without_offset = frames.clone()
    without_offset[:, 2] = 9.0
    assert torch.equal(model(without_offset), logits)


def test_positions_of_mmnet_lie_as_the_map_does():
    branch = mmnet.Positions(side=4, width=8, depth=1, heads=2, hidden=2, dropout=0.0).eval()
    branch.layers = torch.nn.ModuleList()
    pictures = torch.randn(1, 3, 8, 8)
    found = branch(pictures)
    pixel = pictures[0, :, 2:4, 6:8].mean(dim=(1, 2))
    torch.testing.assert_close(found[0, :, 1, 3], branch.embed(pixel) + branch.place[4 + 3])
