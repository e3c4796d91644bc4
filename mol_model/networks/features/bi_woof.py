"""Bi-WOOF: how flow points in each block of the face, weighed by magnitude and by strain."""

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mol_model.config.network import NetworkSettings
from mol_model.networks.features.linear import AT_ONCE, OnFeatures, classifier_of
from mol_model.networks.flow_picture import optical_strain
from mol_model.networks.interface import Network, ViewName

VIEWS: tuple[ViewName, ...] = ("key-flow",)


class BiWOOFSettings(NetworkSettings):
    """Settings of Bi-WOOF with a linear support vector machine."""

    blocks: int = Field(default=5, ge=1, le=64)
    """Along each side of the face (R)."""
    directions: int = Field(default=8, ge=2, le=360)
    """Bins of the circle (R)."""
    c: float = Field(default=10_000.0, gt=0.0)
    """Of the support vector machine (K)."""


def bi_woof(
    flow: Float[Tensor, "b 2 h w"], *, blocks: int, directions: int
) -> Float[Tensor, "b features"]:
    """Histograms of orientation, weighed locally by magnitude and globally by strain.

    Of each block the directions of flow, from -180 degrees on, each pixel by its magnitude, over
    the sum of all, times the sum of strain in the block. Neighbouring blocks share a line of
    pixels. All numbers together have length 1; without motion they are 0.

    Args:
        flow: `[B, 2, H, W]`, `(u right, v down)`.
        blocks: Along each side.
        directions: Bins of the circle.

    Returns:
        `[B, blocks * blocks * directions]`: block rows, block columns, directions.

    Source:
        Liong et al. 2018, "Less is More: Micro-expression Recognition from Video using Apex
        Frame"; the authors' biwoof.m.
    """
    u, v = flow.unbind(dim=1)
    turn = (torch.atan2(v, u) + math.pi) / (2 * math.pi) * directions
    direction = turn.floor().long().clamp(0, directions - 1)  # 180 degrees are in the last bin
    by_direction = functional.one_hot(direction, directions) * torch.hypot(u, v)[..., None]
    rows = _shared_lines(flow.shape[-2], blocks).to(flow)
    columns = _shared_lines(flow.shape[-1], blocks).to(flow)
    histograms = torch.einsum("ih,bhwd,jw->bijd", rows, by_direction, columns)
    weights = torch.einsum("ih,bhw,jw->bij", rows, optical_strain(flow), columns)
    total = histograms.sum(dim=-1, keepdim=True)
    shares = histograms / torch.where(total > 0, total, 1)
    return functional.normalize((shares * weights[..., None]).flatten(1), dim=1)


def _shared_lines(length: int, blocks: int) -> Tensor:
    """Which of `length` lines belong to each block, `[blocks, length]`; borders belong to two."""
    edges = torch.linspace(0, length - 1, blocks + 1, device="cpu").round()
    line = torch.arange(length, device="cpu")
    return ((line >= edges[:-1, None]) & (line <= edges[1:, None])).float()


class BiWOOF(nn.Module):
    """Bi-WOOF of the flow from onset to apex.

    Args:
        blocks: Along each side.
        directions: Bins of the circle.
    """

    def __init__(self, *, blocks: int, directions: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.directions = directions

    def forward(self, key_flow: Float[Tensor, "b 2 2 p p"]) -> Float[Tensor, "b features"]:
        """Map flow `[B, 2, 2, P, P]` to `[B, features]`."""
        return bi_woof(key_flow[:, 0], blocks=self.blocks, directions=self.directions)


def build(settings: BiWOOFSettings) -> OnFeatures:
    """Bi-WOOF and its classifier, of their settings."""
    count = settings.blocks**2 * settings.directions
    return OnFeatures(
        views=VIEWS,
        features=BiWOOF(blocks=settings.blocks, directions=settings.directions),
        classifier=classifier_of(settings, count, "svm", settings.c, standardise=False),
    )


network = Network(
    name="bi-woof",
    source=(
        "Liong et al. 2018 (SPIC), with a linear SVM. Ours differs: strain by the symmetric "
        "formula; each class against the rest, where LIBSVM lets pairs of classes vote."
    ),
    views=VIEWS,
    settings=BiWOOFSettings,
    build=build,
    presets={"paper": AT_ONCE, "tiny": AT_ONCE},
)
