"""The losses against cases worked out by hand."""

import math

import pytest
import torch

from mol_model.networks.losses import expression_loss
from mol_model.networks.mol.losses import (
    flow_loss,
    inter_ocular_distance,
    joint_loss,
    landmark_loss,
)


def face(batch=2, frames=3, eyes_px=50.0):
    """Landmarks whose eye centres are `eyes_px` apart, `[batch, frames, 68, 2]`."""
    points = torch.zeros(batch, frames, 68, 2)
    points[..., 42:48, 0] = eyes_px
    return points


def test_zero_at_the_target():
    flow, points = torch.randn(2, 3, 2, 4, 5), face()
    assert flow_loss(flow, flow) == 0
    assert landmark_loss(points, points) == 0
    assert expression_loss(torch.tensor([[99.0, 0]]), torch.tensor([0])) < 1e-6


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_classes():
    loss = expression_loss(torch.zeros(3, 5), torch.tensor([0, 2, 4]))
    assert loss.item() == pytest.approx(math.log(5))


def test_flow_loss_is_the_mean_square_over_components_and_pixels():
    truth = torch.zeros(1, 2, 2, 3, 4)
    estimate = truth.clone()
    estimate[:, 0, 0] = 2.0  # one of two pairs, one of two components: 4 / 4
    assert flow_loss(estimate, truth).item() == pytest.approx(1.0)


def test_landmark_loss_is_relative_to_the_distance_of_the_eye_centres():
    truth = face(eyes_px=50.0)
    assert inter_ocular_distance(truth)[0, 0].item() == pytest.approx(50.0)
    estimate = truth + torch.tensor([3.0, -2.0])  # |dx| + |dy| = 5 at every point
    assert landmark_loss(estimate, truth).item() == pytest.approx(5.0 / 50.0)


def test_the_total_equals_the_weighted_terms_it_reports():
    terms = joint_loss(
        logits=torch.randn(2, 5),
        labels=torch.tensor([1, 3]),
        flow=torch.randn(2, 3, 2, 4, 5),
        true_flow=torch.randn(2, 3, 2, 4, 5),
        landmarks=face() + 1,
        true_landmarks=face(),
        flow_weight=10.0,
        landmark_weight=0.1,
    )
    expected = terms.expression + 10 * terms.flow + 0.1 * terms.landmarks
    torch.testing.assert_close(terms.total, expected)


def test_an_absent_head_takes_no_part():
    terms = joint_loss(
        logits=None,
        labels=torch.tensor([1]),
        flow=None,
        true_flow=torch.zeros(1, 3, 2, 4, 5),
        landmarks=face(1) + 1,
        true_landmarks=face(1),
        flow_weight=10.0,
        landmark_weight=0.1,
    )
    assert terms.expression == 0
    assert terms.flow == 0
    torch.testing.assert_close(terms.total, 0.1 * terms.landmarks)
