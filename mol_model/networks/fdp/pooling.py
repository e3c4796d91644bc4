"""From the vectors of frames to one representation of the clip, a square `[S, S, depth]`."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from mol_model.networks.dynamic_image import pool_by_rank


def as_square(vectors: Float[Tensor, "b t features"], side: int) -> Float[Tensor, "b s s t"]:
    """Vectors one behind the other, read as `[B, side, side, t]`.

    Of one vector that is a square of its numbers. Of several it is what the release does in the
    place of pooling: frame l fills the rows `l side/t` and on, and the last axis holds neighbours
    in a vector, not frames.
    """
    return vectors.flatten(1).unflatten(1, (side, side, vectors.shape[1]))


class NoPooling(nn.Module):
    """The release's reshape: nothing is ranked, nothing pooled."""

    def forward(
        self, vectors: Float[Tensor, "b t features"]
    ) -> tuple[Float[Tensor, "b t features"], None]:
        """Give `[B, t, features]` back."""
        return vectors, None


class ClosedFormPooling(nn.Module):
    """Weights of approximate rank pooling, the same for every clip.

    Source:
        Bilen et al. 2016, on features; that FDP does so is assumed (decision 0027).
    """

    def forward(
        self, vectors: Float[Tensor, "b t features"]
    ) -> tuple[Float[Tensor, "b 1 features"], None]:
        """Map `[B, t, features]` to `[B, 1, features]`."""
        return pool_by_rank(vectors)[:, None], None


class LearnedPooling(nn.Module):
    """A frame weighs what its score says; scores are trained to rise with time.

    Args:
        features: Length of a frame's vector.

    Source:
        Assumed (decision 0027): `s_k = w . mean(F_1..F_k)`, `D = sum_k softplus(s_k) F_k`.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scorer = nn.Linear(features, 1, bias=False)

    def forward(
        self, vectors: Float[Tensor, "b t features"]
    ) -> tuple[Float[Tensor, "b 1 features"], Float[Tensor, "b t"]]:
        """Map `[B, t, features]` to `[B, 1, features]` and the scores `[B, t]`."""
        count = torch.arange(1, vectors.shape[1] + 1, device=vectors.device)[:, None]
        scores = self.scorer(vectors.cumsum(dim=1) / count)[..., 0]
        pooled = torch.einsum("bt,btf->bf", functional.softplus(scores), vectors)
        return pooled[:, None], scores


def order_loss(scores: Float[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Mean of `max(0, 1 - s_(k+1) + s_k)`: zero where each frame scores 1 above the last one."""
    return functional.relu(1 - scores.diff(dim=1)).mean()
