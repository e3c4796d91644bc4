"""Features against loops, their classifier against scikit-learn, and what is kept of it."""

import itertools
import math
import sys

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from mol_model.config.network import find_network
from mol_model.networks.features.bi_woof import bi_woof
from mol_model.networks.features.controls import REGIONS, MeanFlow
from mol_model.networks.features.lbp_top import PLANES, lbp_top, patterns, uniform_bins
from mol_model.networks.features.linear import NEVER, LinearClassifier
from mol_model.networks.flow_picture import optical_strain, patch_means
from mol_pipeline.contract.errors import ConfigError
from tests.model.networks.clips import model_of, some_views, taken

FITTED = ("bi-woof", "lbp-top", "majority", "mean-flow")


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bi_woof_by_loops(flow, blocks, directions):
    _, height, width = flow.shape
    strain = optical_strain(flow)
    edges = [
        [round(i * (length - 1) / blocks) for i in range(blocks + 1)] for length in (height, width)
    ]
    out = []
    for i, j in itertools.product(range(blocks), repeat=2):
        histogram, weight = [0.0] * directions, 0.0
        for y in range(edges[0][i], edges[0][i + 1] + 1):
            for x in range(edges[1][j], edges[1][j + 1] + 1):
                u, v = flow[0, y, x].item(), flow[1, y, x].item()
                degrees = math.degrees(math.atan2(v, u)) + 180
                place = min(int(degrees // (360 / directions)), directions - 1)
                histogram[place] += math.hypot(u, v)
                weight += strain[y, x].item()
        out += [value / sum(histogram) * weight for value in histogram]
    length = math.sqrt(sum(value**2 for value in out))
    return [value / length for value in out]


def test_bi_woof_equals_its_loops():
    flow = noise(2, 2, 11, 14)
    found = bi_woof(flow, blocks=3, directions=5)
    for clip in range(2):
        expected = torch.tensor(bi_woof_by_loops(flow[clip], 3, 5), dtype=torch.float64)
        torch.testing.assert_close(found[clip], expected)
    assert bi_woof(noise(1, 2, 20, 20), blocks=5, directions=8).shape == (1, 200)


@pytest.mark.parametrize(
    ("direction", "bin_"), [((-1.0, -0.5), 0), ((1.0, 0.5), 4), ((0.5, 1.0), 5), ((-1.0, 0.0), 7)]
)
def test_directions_are_counted_from_minus_180_degrees(direction, bin_):
    """v is down: what goes to the right and a little down is in the first bin above 0."""
    flow = torch.tensor(direction)[:, None, None] * (1 + torch.arange(6.0))
    found = bi_woof(flow.expand(2, 6, 6)[None].contiguous(), blocks=1, directions=8)[0]
    assert found.nonzero().flatten().tolist() == [bin_]


def test_bi_woof_of_a_still_clip_is_nought():
    assert bi_woof(torch.zeros(1, 2, 12, 12), blocks=5, directions=8).eq(0).all()


def pattern_by_loops(clip, t, y, x, plane, neighbours, radii):
    """Bit by bit, with bilinear interpolation in the plane."""
    code = 0
    for p in range(neighbours):
        angle = 2 * math.pi * p / neighbours
        place = [float(t), float(y), float(x)]
        place[plane[0]] += radii[plane[0]] * math.cos(angle)
        place[plane[1]] += radii[plane[1]] * math.sin(angle)
        place = [round(value, 6) for value in place]
        value = 0.0
        corners = itertools.product(*({math.floor(c), math.ceil(c)} for c in place))
        for corner in corners:
            share = math.prod(1 - abs(c - at) for c, at in zip(corner, place, strict=True))
            value += share * clip[corner].item()
        code |= (value >= clip[t, y, x].item()) << p
    return code


@pytest.mark.parametrize("neighbours", [4, 8])
def test_patterns_equal_their_loops(neighbours):
    clip, radii = noise(1, 6, 7, 8), (2, 1, 1)
    for plane in PLANES:
        found = patterns(clip, plane=plane, neighbours=neighbours, radii=radii)
        assert found.shape == (1, 2, 5, 6)
        for t, y, x in itertools.product(range(2), range(5), range(6)):
            expected = pattern_by_loops(clip[0], t + 2, y + 1, x + 1, plane, neighbours, radii)
            assert found[0, t, y, x] == expected, (plane, t, y, x)


def test_equal_pixels_set_every_bit_however_they_are_interpolated():
    still = torch.full((1, 5, 5, 5), 0.1)
    for plane in PLANES:
        found = patterns(still, plane=plane, neighbours=8, radii=(2, 1, 1))
        assert (found == 255).all()


@pytest.mark.parametrize(("neighbours", "bins"), [(4, 15), (8, 59)])
def test_uniform_patterns_have_bins_of_their_own(neighbours, bins):
    table = uniform_bins(neighbours).tolist()
    assert len(set(table)) == bins == neighbours * (neighbours - 1) + 3
    for pattern, bin_ in enumerate(table):
        ring = f"{pattern:0{neighbours}b}"
        changes = sum(a != b for a, b in zip(ring, ring[1:] + ring[0], strict=True))
        assert (bin_ == bins - 1) is (changes > 2)


def test_lbp_top_counts_patterns_by_plane_and_block():
    clips, radii, blocks = noise(2, 6, 8, 9), (2, 1, 1), 2
    found = lbp_top(clips, blocks=2, neighbours=4, radius_px=1, radius_frames=2)
    found = found.view(2, 3, blocks, blocks, 15)
    table = uniform_bins(4)
    for clip, (place, plane) in itertools.product(range(2), enumerate(PLANES)):
        counts = torch.zeros(blocks, blocks, 15, dtype=torch.float64)
        for t, y, x in itertools.product(range(2), range(6), range(7)):
            code = pattern_by_loops(clips[clip], t + 2, y + 1, x + 1, plane, 4, radii)
            counts[y * blocks // 6, x * blocks // 7, table[code]] += 1
        counts /= counts.sum(dim=-1, keepdim=True)
        torch.testing.assert_close(found[clip, place], counts)


def test_lbp_top_knows_no_brightness():
    clips = noise(1, 6, 8, 8)
    how = {"blocks": 2, "neighbours": 8, "radius_px": 1, "radius_frames": 1}
    assert torch.equal(lbp_top(clips, **how), lbp_top(clips * 0.25 + 3, **how))


def test_mean_flow_is_of_patches_around_the_points_of_a_region():
    views, _ = some_views(2)
    flow, points = views["key-flow"], views["key-landmarks"]
    found = MeanFlow(patch_px=5)(flow, points).view(2, len(REGIONS), 2)
    for i, region in enumerate(REGIONS.values()):
        patches = [patch_means(flow[:, 0], points[:, 0, p : p + 1], 5)[:, 0] for p in region]
        torch.testing.assert_close(found[:, i], torch.stack(patches).mean(dim=0))


def spread(count=60, classes=3, d=5):
    labels = torch.arange(count) % classes
    return noise(count, d).float() + 1.5 * torch.nn.functional.one_hot(labels, d), labels


def linear(kind="svm", classes=3, d=5, c=2.0, standardise=False):
    return LinearClassifier(features=d, classes=classes, kind=kind, c=c, standardise=standardise)


def test_the_support_vector_machine_is_that_of_scikit_learn():
    features, labels = spread()
    ours = linear()
    ours.fit(features, labels, seed=0)
    for label in range(3):
        theirs = SVC(C=2.0, kernel="linear").fit(features.numpy(), labels.numpy() == label)
        np.testing.assert_allclose(
            ours(features)[:, label], theirs.decision_function(features.numpy()), atol=5e-3
        )


@pytest.mark.parametrize("kind", ["svm", "logistic"])
def test_a_classifier_separates_and_scales_by_the_training_part(kind):
    features, labels = spread()
    scaled = features * torch.tensor([1.0, 1e3, 1e-3, 1.0, 0.0]) + 7
    ours = linear(kind, standardise=True)
    ours.fit(scaled, labels, seed=0)
    assert (ours(scaled).argmax(dim=1) == labels).float().mean() > 0.8
    normed = (scaled - ours.mean) / ours.scale
    torch.testing.assert_close(normed.mean(dim=0), torch.zeros(5), atol=2e-3, rtol=0)
    torch.testing.assert_close(
        normed.std(dim=0, correction=0), torch.tensor([1.0] * 4 + [0.0]), atol=2e-3, rtol=0
    )


def test_a_class_that_was_never_shown_is_never_answered():
    features, labels = spread()
    ours = linear(classes=4)
    ours.fit(features, labels, seed=0)
    assert ours(features)[:, 3].eq(-NEVER).all()
    with pytest.raises(ValueError, match="all 60 training clips have label 2"):
        linear().fit(features, torch.full((60,), 2), seed=0)


def test_action_units_are_learned_from_what_is_known_of_them():
    features, labels = spread()
    units = torch.stack([labels == 0, labels >= 0, labels < 0, labels == 1], dim=1).long()
    units[::2, 0] = -1
    units[:, 3] = -1
    ours = linear(classes=4)
    ours.fit(features, units, seed=0)
    theirs = SVC(C=2.0, kernel="linear").fit(features[1::2].numpy(), labels[1::2].numpy() == 0)
    found = ours(features)
    np.testing.assert_allclose(found[:, 0], theirs.decision_function(features.numpy()), atol=5e-3)
    assert found[:, 1].eq(NEVER).all() and found[:, 2].eq(-NEVER).all()
    assert found[:, 3].eq(0).all()


@pytest.mark.parametrize("name", FITTED)
def test_what_is_fitted_is_kept_in_buffers_and_is_the_same_again(name):
    network = find_network(name)
    views, labels = some_views(12)
    batches = {key: [view[:5], view[5:]] for key, view in views.items()}
    models = [model_of(network, classes=3)[0] for _ in range(3)]
    for model in models[:2]:
        model.fit(batches, labels, 7)
    state = models[0].state_dict()
    assert not list(models[0].parameters()) and state
    assert all(torch.equal(state[key], again) for key, again in models[1].state_dict().items())
    models[2].load_state_dict(state)
    logits = [model.eval()(*taken(network, views)) for model in models]
    assert torch.equal(logits[0], logits[2]) and logits[0].shape == (12, 3)
    if name != "majority":
        assert logits[0].argmax(dim=1).tolist() == labels.tolist()


def test_the_majority_answers_frequencies():
    model, _ = model_of(find_network("majority"), classes=4)
    model.fit({}, torch.tensor([0, 1, 1, 2, 1]), 0)
    shares = torch.softmax(model(torch.zeros(2, 7, 68, 2)), dim=1)
    torch.testing.assert_close(shares, torch.tensor([[0.2, 0.6, 0.2, 0.0]] * 2))
    model.fit({}, torch.tensor([[1, 0, -1, 1], [1, 0, -1, 0], [0, 0, -1, 1]]), 0)
    shown = torch.sigmoid(model(torch.zeros(1, 7, 68, 2)))[0]
    torch.testing.assert_close(shown, torch.tensor([2 / 3, 0.0, 0.5, 2 / 3]))


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("lbp-top", {"frames": 4}, "clips of 4 frames are too short; they need 5"),
        ("lbp-top", {"blocks": 63}, "model.blocks=63: a crop of 64 px leaves no pixel"),
    ],
)
def test_settings_that_leave_nothing_to_count_are_refused(name, settings, words):
    with pytest.raises(ConfigError, match=words):
        model_of(find_network(name), **settings)


def test_without_scikit_learn_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    features, labels = spread()
    with pytest.raises(ConfigError, match=r"pip install 'mol-micro-expression\[baselines\]'"):
        linear().fit(features, labels, seed=0)
