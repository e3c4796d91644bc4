"""The whole network of the release, from its own key names to its outputs.

The oracle shares no code with `mol_model`, not even the key map.
"""

import pytest
import torch

from mol_model.networks.mol.release.weights import convert_state
from mol_model.training.release_import import load_release
from tests.model.release_oracle import Release, published_shapes, random_state

CLASSES = 3
TOLERANCE = 1e-9  # relative to the largest output; float64 rounding is about 1e-13


@pytest.fixture(scope="module")
def state():
    return random_state(CLASSES)


@pytest.fixture(scope="module")
def outputs(state):
    generator = torch.Generator().manual_seed(1)
    clips = torch.randn(2, 8, 128, 128, generator=generator, dtype=torch.float64)
    with torch.inference_mode():
        expected = Release(state)(clips.unsqueeze(1))
        return load_release(state, classes=CLASSES)(clips), expected


def assert_equal(got, expected):
    assert got.dtype == torch.float64
    assert got.shape == expected.shape
    assert expected.std() > 1e-3  # random weights must not let the signal die
    assert (got - expected).abs().max() < TOLERANCE * max(1.0, expected.abs().max().item())


def test_logits_equal_those_of_the_release(outputs):
    got, (expected, _, _) = outputs
    assert_equal(got.expression, expected)


def test_flow_equals_that_of_the_release(outputs):
    got, (_, expected, _) = outputs
    assert_equal(got.flow, expected.permute(0, 4, 1, 2, 3))  # [B, 7, 2, P, P]


def test_landmarks_equal_those_of_the_release(outputs):
    got, (_, _, expected) = outputs
    assert_equal(got.landmarks, expected.permute(0, 2, 1).unflatten(2, (68, 2)))


def test_every_published_key_is_used_or_known_to_be_unused(state):
    _, report = convert_state(state, load_release(state, classes=CLASSES))
    assert not report.missing
    assert not report.unknown
    assert sorted(report.used + report.unused) == sorted(state)
    assert all(".ffn." in key for key in report.unused)


def test_no_two_keys_fill_the_same_place(state):
    network = load_release(state, classes=CLASSES)
    converted, report = convert_state(state, network)
    assert len(converted) == len(report.used) == len(network.state_dict())


def test_the_published_shapes_hold_the_published_number_of_parameters():
    shapes = published_shapes(5)
    counted = sum(
        torch.Size(shape).numel()
        for name, shape in shapes.items()
        if "running" not in name and "tracked" not in name
    )
    assert counted == pytest.approx(44.1e6, rel=1e-3)
