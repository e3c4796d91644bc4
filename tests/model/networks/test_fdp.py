"""FDP: the release to its last number, the paper's parts against slow versions, its losses."""

import math

import pytest
import torch
from torch.nn import functional

from mol_model.networks.dynamic_image import at_size, rank_weights
from mol_model.networks.fdp import blocks
from mol_model.networks.fdp.definition import dynamic_image_loss, loss, network
from mol_model.networks.fdp.heads import DynamicImageModule, ExpressionModule
from mol_model.networks.fdp.pooling import (
    ClosedFormPooling,
    LearnedPooling,
    NoPooling,
    as_square,
    order_loss,
)
from mol_model.networks.fdp.settings import FDPSettings, attention_width
from mol_model.networks.interface import Estimates, LossRequest
from mol_pipeline.contract.errors import ConfigError
from tests.model.networks import fdp_oracle
from tests.model.networks.clips import model_of, ramp_, some_views

PARTS = {"frame_rep": 54_952_448, "mer": 905_293, "dyimg_net": 29_446_465}


def fdp(preset="tiny", **settings):
    torch.manual_seed(0)
    return model_of(network, preset, **settings)[0]


def test_the_release_has_its_parameters_under_its_names():
    with torch.device("meta"):
        model, _ = model_of(network, "release", classes=5)
    shapes = {name: tuple(entry.shape) for name, entry in model.state_dict().items()}
    assert shapes == fdp_oracle.published_shapes(5)
    assert len(shapes) == 438
    sizes = {
        name: sum(weights.numel() for weights in part.parameters())
        for name, part in model.named_children()
    }
    assert {name: size for name, size in sizes.items() if size} == PARTS
    assert sum(PARTS.values()) == 85_304_206


def test_the_release_computes_what_its_description_says():
    """In float64, with weights and statistics that are not those of a start."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, shape in fdp_oracle.published_shapes(5).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
            continue
        value = torch.randn(shape, generator=generator, dtype=torch.float64)
        if name.endswith("running_var"):
            value = 0.5 + value.abs()
        elif len(shape) > 1:
            value = value / math.sqrt(math.prod(shape[1:]))
        state[name] = value
    with torch.device("meta"):
        model, _ = model_of(network, "release", classes=5)
    model.load_state_dict(state, assign=True)
    model.eval()
    clips = torch.randn(1, 8, 64, 64, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        found = model(clips)
        logits, images = fdp_oracle.forward(state, clips[:, None, :, None])
    assert logits.abs().max() > 0.1 and images.std() > 1e-3
    torch.testing.assert_close(found.expression, logits, rtol=1e-9, atol=1e-12)
    image = (found.dynamic_image[:, 0] + 1) / 2
    torch.testing.assert_close(image, images, rtol=1e-9, atol=1e-12)


def test_the_convolution_of_heads_equals_one_for_each_head():
    block = ramp_(blocks.MultiHeadConvolution(6, 2)).eval()
    x = torch.randn(2, 6, 5, 4)
    heads = [
        functional.conv2d(x[:, 2 * i : 2 * i + 2], block.heads.weight[2 * i : 2 * i + 2], padding=1)
        for i in range(3)
    ]
    normed = functional.relu(block.norm(torch.cat(heads, dim=1)))
    expected = torch.einsum("oc,bchw->bohw", block.join.weight[:, :, 0, 0], normed)
    expected = expected + block.join.bias[:, None, None]
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("reduction", [1, 2])
def test_attention_equals_its_loops(reduction):
    height, width, channels, head = 4, 2, 6, 3
    block = ramp_(blocks.Attention(channels=channels, head_width=head, reduction=reduction)).eval()
    x = torch.randn(2, channels, height, width)
    expected = torch.zeros(2, channels, height * width)
    for clip in range(2):
        tokens = [x[clip, :, i // width, i % width] for i in range(height * width)]
        step = reduction**2
        seen = [torch.stack(tokens[i : i + step]).mean(dim=0) for i in range(0, len(tokens), step)]
        if reduction > 1:
            norm = block.norm
            seen = [one / math.sqrt(1 + norm.eps) * norm.weight + norm.bias for one in seen]
        for i, token in enumerate(tokens):
            query, mixed = block.query(token), []
            for rows in (slice(0, 3), slice(3, 6)):
                scores = [
                    torch.dot(query[rows], block.key(one)[rows]) / math.sqrt(head) for one in seen
                ]
                shares = torch.softmax(torch.stack(scores), dim=0)
                mixed.append(
                    sum(
                        share * block.value(one)[rows]
                        for share, one in zip(shares, seen, strict=True)
                    )
                )
            expected[clip, :, i] = block.join(torch.cat(mixed))
    torch.testing.assert_close(
        block(x), expected.view(2, channels, height, width), atol=1e-5, rtol=1e-5
    )


def test_local_and_global_blocks_add_each_part_to_its_input():
    x = torch.randn(2, 3, 4, 4)
    convolution = blocks.MultiHeadConvolution(4, 2)
    local = ramp_(
        blocks.LocalBlock(
            inputs=3, width=4, halve=True, convolution=convolution, hidden=3, drop_path=0.5
        )
    ).eval()
    y = local.patch_embed(x)
    assert y.shape == (2, 4, 2, 2)
    y = y + local.mhca(y)
    torch.testing.assert_close(local(x), y + local.mlp(local.norm(y)))
    whole = ramp_(
        blocks.GlobalBlock(
            inputs=3,
            width=6,
            attended=4,
            halve=False,
            head_width=2,
            reduction=2,
            hidden=2,
            drop_path=0.5,
        )
    ).eval()
    y = whole.patch_embed(x)
    y = y + whole.attention(whole.norm1(y))
    z = whole.projection(y)
    z = z + whole.mhca(z)
    both = torch.cat([y, z], dim=1)
    torch.testing.assert_close(whole(x), both + whole.mlp(whole.norm2(both)))
    assert whole.mlp.conv1.weight.shape == (12, 6, 1, 1)


def test_a_patch_embedding_halves_by_means():
    x = torch.randn(1, 2, 4, 6)
    block = ramp_(blocks.PatchEmbedding(2, 3, halve=True)).eval()
    means = x.unflatten(3, (3, 2)).unflatten(2, (2, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(block(x), block.norm(block.conv(means)))
    assert isinstance(blocks.embedding(3, 3, halve=False), torch.nn.Identity)
    assert isinstance(blocks.embedding(3, 3, halve=True), blocks.PatchEmbedding)


def test_stochastic_depth_leaves_whole_clips_out_and_keeps_the_mean():
    torch.manual_seed(0)
    path, x = blocks.DropPath(0.25), torch.ones(4000, 1, 2, 2)
    kept = path(x).flatten(1)
    assert set(kept.flatten().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert (kept == kept[:, :1]).all()
    assert abs(kept.mean() - 1) < 0.04
    path.eval()
    assert torch.equal(path(x), x)


def test_widths_of_attention_are_those_of_the_release():
    settings = FDPSettings()
    found = [attention_width(width, settings) for width in settings.global_widths]
    assert found == [96, 192, 384, 768]


def test_the_paper_has_a_global_block_at_the_end_of_each_stage():
    with torch.device("meta"):
        model, _ = model_of(network, "paper")
    kinds = [isinstance(block, blocks.GlobalBlock) for block in model.frame_rep.features]
    assert [i for i, is_global in enumerate(kinds) if is_global] == [2, 6, 16, 19]
    rates = [block.drop.rate for block in model.frame_rep.features]
    assert rates[0] == 0 and rates[-1] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(0.1 * 10 / 19)
    assert model.frame_rep.proj_head[0].weight.shape == (4096, 1024)


@pytest.mark.parametrize("kind", ["local", "global"])
def test_blocks_of_one_kind_alone(kind):
    model = fdp(blocks=kind)
    wanted = {"local": blocks.LocalBlock, "global": blocks.GlobalBlock}[kind]
    assert {type(block) for block in model.frame_rep.features} == {wanted}
    assert model(some_views(2)[0]["frames"]).expression.shape == (2, 5)


def test_closed_form_pooling_weighs_frames():
    vectors = torch.randn(2, 5, 7, dtype=torch.float64)
    pooled, scores = ClosedFormPooling()(vectors)
    weights = rank_weights(5)
    expected = sum(weights[k] * vectors[:, k] for k in range(5))
    torch.testing.assert_close(pooled[:, 0], expected)
    assert scores is None


def test_learned_pooling_equals_its_loops():
    pooling = ramp_(LearnedPooling(7))
    vectors = torch.randn(2, 5, 7)
    pooled, scores = pooling(vectors)
    for clip in range(2):
        total = torch.zeros(7)
        for k in range(5):
            score = pooling.scorer(vectors[clip, : k + 1].mean(dim=0))[0]
            torch.testing.assert_close(scores[clip, k], score)
            total = total + torch.log1p(torch.exp(score)) * vectors[clip, k]
        torch.testing.assert_close(pooled[clip, 0], total)


def test_the_order_of_scores_costs_nothing_where_each_frame_is_one_above_the_last():
    assert order_loss(torch.tensor([[1.0, 2.0, 3.5]])) == 0
    assert order_loss(torch.tensor([[3.0, 2.0], [0.0, 0.5]])) == pytest.approx((2 + 0.5) / 2)


def test_without_pooling_a_frame_fills_rows_and_depth_holds_its_neighbours():
    vectors = torch.arange(2 * 8 * 4096.0).view(2, 8, 4096)
    square = as_square(NoPooling()(vectors)[0], 64)
    for frame, a, j, k in ((0, 0, 0, 0), (3, 5, 17, 6), (7, 7, 63, 7)):
        assert square[1, 8 * frame + a, j, k] == vectors[1, frame, 512 * a + 8 * j + k]
    one = as_square(vectors[:, :1], 64)
    assert one.shape == (2, 64, 64, 1) and one[0, 3, 4, 0] == 3 * 64 + 4


def test_the_convolution_over_a_representation_is_a_plane_one():
    module = ramp_(ExpressionModule(side=6, depth=4, maps=3, hidden=5, classes=2))
    square = torch.randn(2, 6, 6, 4)
    kernel = module.conv3d.weight[:, 0].permute(0, 3, 1, 2)
    expected = functional.conv2d(square.permute(0, 3, 1, 2), kernel, module.conv3d.bias, padding=1)
    torch.testing.assert_close(module(square), expected, atol=1e-5, rtol=1e-5)


def test_unpooling_puts_maxima_back_where_they_were():
    """A decoder of plain copies leaves the largest of each square of 32, in its place."""
    module = DynamicImageModule(inputs=1, widths=(1, 1, 1, 1, 1)).eval()
    with torch.no_grad():
        for name, weights in module.named_parameters():
            weights.zero_()
            if ".weight" in name and weights.dim() == 4:
                weights[0, 0, 1, 1] = 1
            elif ".weight" in name:
                weights.fill_(math.sqrt(1 + 1e-5))  # the norm then changes nothing
    maps = torch.rand(1, 1, 64, 64) + 1
    image = torch.logit(module(maps).detach().double())
    for i in range(2):
        for j in range(2):
            square = maps[0, 0, 32 * i : 32 * i + 32, 32 * j : 32 * j + 32]
            found = image[0, 0, 32 * i : 32 * i + 32, 32 * j : 32 * j + 32]
            assert int((found > 0.5).sum()) == 1
            assert found.argmax() == square.argmax()
            assert found.max() == pytest.approx(float(square.max()), abs=1e-3)


def test_the_loss_is_what_the_settings_weigh():
    views, labels = some_views(3)
    settings = FDPSettings(dynamic_image_weight=7.0, rank_weight=0.5)
    truth = at_size(views["dynamic-image"], 32)
    estimates = Estimates(
        expression=torch.randn(3, 5),
        dynamic_image=truth + 0.2,
        rank_scores=torch.tensor([[1.0, 1.0]] * 3),
    )
    request = LossRequest(views, labels, None, settings=settings)
    terms = loss(estimates, request)
    torch.testing.assert_close(terms["dynamic_image"], torch.tensor(0.1**2))
    torch.testing.assert_close(terms["order"], torch.tensor(1.0))
    entropy = functional.cross_entropy(estimates.expression, labels)
    torch.testing.assert_close(terms["total"], entropy + 7 * 0.01 + 0.5)
    only_image = loss(Estimates(dynamic_image=truth), request)
    assert set(only_image) == {"total", "dynamic_image"} and only_image["total"] < 1e-10
    with pytest.raises(TypeError, match="needs its settings, not NoneType"):
        loss(estimates, LossRequest(views, labels, None))
    assert dynamic_image_loss(-torch.ones(1, 1, 8, 8), -torch.ones(1, 1, 64, 64)) == 0


@pytest.mark.parametrize("pooling", ["closed-form", "learned", "none"])
@pytest.mark.parametrize("task", ["both", "expression", "dynamic-image"])
def test_every_weight_takes_part_in_every_ablation(pooling, task):
    chosen = {
        "pooling": pooling,
        "use_expression": task != "dynamic-image",
        "use_dynamic_image": task != "expression",
    }
    torch.manual_seed(0)
    model, settings = model_of(network, classes=3, **chosen)
    views, labels = some_views(4)
    found = model(views["frames"])
    assert (found.expression is None) is (task == "dynamic-image")
    assert (found.dynamic_image is None) is (task == "expression")
    assert (found.rank_scores is not None) is (pooling == "learned")
    assert settings.tasks() == ({"expression", "dynamic-image"} if task == "both" else {task})
    loss(found, LossRequest(views, labels, None, settings=settings))["total"].backward()
    for name, weights in model.named_parameters():
        assert weights.grad is not None and torch.isfinite(weights.grad).all(), name
        assert weights.grad.abs().max() > 0, name


def test_the_dynamic_image_is_learned():
    views, labels = some_views(4)
    torch.manual_seed(0)
    chosen = {"side": 32, "drop_path": 0.0, "use_expression": False}
    model, settings = model_of(network, classes=3, **chosen)
    request = LossRequest(views, labels, None, settings=settings)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        terms = loss(model(views["frames"]), request)
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
    truth = (at_size(views["dynamic-image"], 32) + 1) / 2
    mean_image = functional.mse_loss(truth.mean(dim=0, keepdim=True).expand_as(truth), truth)
    assert terms["dynamic_image"] < 0.7 * mean_image


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use_expression": False, "use_dynamic_image": False}, "nothing is left to learn"),
        ({"flavour": "release"}, "set model.pooling=none and model.blocks=local"),
        ({"head_width": 7}, r"model\.widths=.*a multiple of model\.head_width=7"),
        ({"attention_step": 64}, "set a smaller model.attention_step than 64"),
        ({"attention_step": 4}, "attention's part of model.global_widths"),
        ({"reductions": [8, 3, 2, 1]}, r"model\.reductions=\[8, 3, 2, 1\]"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        fdp(**settings)


def test_clips_of_another_length_are_refused():
    with pytest.raises(ValueError, match="clips of 7 frames: this network takes 8"):
        fdp()(torch.zeros(1, 7, 64, 64))


def test_a_larger_crop_is_made_small_by_area():
    model = fdp().eval()
    frames = torch.randn(1, 8, 128, 128)
    small = frames.unflatten(3, (64, 2)).unflatten(2, (64, 2)).mean(dim=(3, 5))
    with torch.no_grad():
        large, made = model(frames), model(small)
    torch.testing.assert_close(large.expression, made.expression, atol=1e-4, rtol=1e-4)
