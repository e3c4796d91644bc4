"""The dynamic image: its weights by brute force, its edge cases, its sizes."""

import pytest
import torch
from torch.nn import functional

from mol_model.networks.dynamic_image import at_size, dynamic_image, pool_by_rank, rank_weights

OF_EIGHT = (-8.4607, -1.4607, 1.0393, 2.0393, 2.2893, 2.0893, 1.5893, 0.8750)
"""As the specification prints them, checked against the authors' code for images."""


def clip(count=2, frames=8, height=5, width=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, frames, height, width, generator=generator, dtype=torch.float64)


def running_means(frames):
    return [frames[:, : k + 1].mean(dim=1) for k in range(frames.shape[1])]


def later_minus_earlier(means):
    """The definition: over all pairs of times, the later running mean minus the earlier one."""
    pairs = [(i, j) for j in range(len(means)) for i in range(j)]
    return sum(means[j] - means[i] for i, j in pairs)


def test_the_weights_of_eight_frames_are_those_of_the_specification():
    torch.testing.assert_close(
        rank_weights(8), torch.tensor(OF_EIGHT, dtype=torch.float64), atol=5e-5, rtol=0
    )


@pytest.mark.parametrize("frames", [2, 3, 4, 7, 8, 16, 33])
def test_pooling_is_the_sum_over_pairs_of_running_means(frames):
    some = clip(frames=frames)
    expected = later_minus_earlier(running_means(some))
    torch.testing.assert_close(pool_by_rank(some), expected, atol=1e-10, rtol=1e-10)
    assert abs(float(rank_weights(frames).sum())) < 1e-10


def test_running_means_in_reversed_order_pool_to_the_negative():
    some = clip()
    means = running_means(some)
    expected = -pool_by_rank(some)
    torch.testing.assert_close(later_minus_earlier(means[::-1]), expected, atol=1e-10, rtol=0)


def test_a_pair_reversed_is_the_negative_but_a_longer_clip_is_not():
    """The weights of the paper are not antisymmetric: a reversed clip has other running means."""
    pair, longer = clip(frames=2), clip(frames=8)
    torch.testing.assert_close(pool_by_rank(pair.flip(1)), -pool_by_rank(pair))
    assert (pool_by_rank(longer.flip(1)) + pool_by_rank(longer)).abs().max() > 1
    reversed_weights = rank_weights(8).flip(0)
    torch.testing.assert_close(
        pool_by_rank(longer.flip(1)), torch.einsum("t,btij->bij", reversed_weights, longer)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_clip_without_motion_is_black(dtype):
    still = clip(frames=1).expand(-1, 8, -1, -1).to(dtype) * 100 + 7
    assert pool_by_rank(still).eq(0).all()
    assert dynamic_image(still).eq(-1).all()
    assert at_size(dynamic_image(still), 3).eq(-1).all()


def test_the_image_goes_from_minus_one_to_one_and_knows_no_brightness():
    some = clip()
    image = dynamic_image(some)
    assert image.shape == (2, 1, 5, 7)
    torch.testing.assert_close(image.amin(dim=(1, 2, 3)), torch.full((2,), -1.0).double())
    torch.testing.assert_close(image.amax(dim=(1, 2, 3)), torch.ones(2).double())
    torch.testing.assert_close(dynamic_image(some * 0.3 + 11), image)


def test_what_appears_late_is_bright_and_what_vanishes_is_dark():
    frames = torch.zeros(1, 8, 3, 3)
    frames[0, 4:, 0, 0] = 1  # comes
    frames[0, :4, 2, 2] = 1  # goes
    image = dynamic_image(frames)[0, 0]
    assert image[0, 0] == 1 and image[2, 2] == -1 and -1 < image[1, 1] < 1


def test_a_smaller_image_is_that_of_smaller_frames():
    some = clip(height=8, width=8)
    small = functional.interpolate(some, size=(4, 4), mode="area")
    torch.testing.assert_close(at_size(dynamic_image(some), 4), dynamic_image(small))
    torch.testing.assert_close(at_size(dynamic_image(some), 8), dynamic_image(some))
