"""The dynamic image: a clip's frames pooled by rank into one picture that tells how it went on.

Frames are weighted so that their sum separates later running means from earlier ones: approximate
rank pooling in closed form. The weights add up to zero, so what does not change is not seen.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from mol_model.networks.flow_picture import min_max


def rank_weights(frames: int) -> Float[Tensor, " t"]:
    """Weight of each frame, `a_k = 2(T-k+1) - (T+1)(H_T - H_(k-1))`, k = 1..T; float64.

    H are the harmonic numbers. It is the gradient of rank pooling at its start: the sum over pairs
    of running means, the later minus the earlier. It is not antisymmetric: a reversed clip has
    another dynamic image than the negative one (of two frames it has).

    Args:
        frames: T, at least 1.

    Source:
        Bilen et al. 2016, CVPR, "Dynamic Image Networks for Action Recognition".
    """
    k = torch.arange(1, frames + 1, dtype=torch.float64)
    rest = (1 / k).flip(0).cumsum(0).flip(0)  # H_T - H_(k-1)
    return 2 * (frames - k + 1) - (frames + 1) * rest


def pool_by_rank(frames: Float[Tensor, "b t ..."]) -> Float[Tensor, "b ..."]:
    """`sum_k a_k F_k` over the second axis, of frames or of their features.

    Frames are taken from the first one, which changes no sum: weights add up to zero. So a clip
    without motion gives exact zeros, whatever its brightness and precision.

    Args:
        frames: `[B, t, ...]`.

    Returns:
        `[B, ...]`.
    """
    weights = rank_weights(frames.shape[1]).to(frames)
    with torch.autocast(frames.device.type, enabled=False):  # differences need more than 8 bits
        return torch.einsum("t,bt...->b...", weights, frames - frames[:, :1])


def dynamic_image(frames: Float[Tensor, "b t h w"]) -> Float[Tensor, "b 1 h w"]:
    """The view `dynamic-image`: pooled frames, each clip's from its smallest to its largest value.

    A clip without motion has -1 everywhere. Grey values may be normalised in any way that keeps
    their order: neither a factor above zero nor a shift changes the result.

    Args:
        frames: Grey `[B, t, H, W]`, in order of time.

    Returns:
        `[B, 1, H, W]`, from -1 to 1.

    Source:
        As in FDP's release, but not cut to 256 steps (decision 0025).
    """
    return 2 * min_max(pool_by_rank(frames))[:, None] - 1


def at_size(images: Float[Tensor, "b 1 h w"], size: int) -> Float[Tensor, "b 1 s s"]:
    """Dynamic images of another side: by area, and again from -1 to 1.

    That is the dynamic image of frames that were made as small: pooling is linear.

    Args:
        images: `[B, 1, H, W]`, from -1 to 1.
        size: Side that is asked for.
    """
    return 2 * min_max(functional.interpolate(images, size=(size, size), mode="area")) - 1
