"""LBP-TOP: local binary patterns of a clip on three planes: the picture, and time along x and y."""

import itertools
import math

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from mol_model.config.network import NetworkSettings
from mol_model.networks.features.linear import AT_ONCE, OnFeatures, classifier_of
from mol_model.networks.interface import Network, ViewName
from mol_pipeline.contract.errors import ConfigError

VIEWS: tuple[ViewName, ...] = ("frames",)

PLANES = ((2, 1), (2, 0), (1, 0))
"""Axes of a clip `[t, y, x]` that a plane's circle runs along: x and y, x and t, y and t."""


class LBPTOPSettings(NetworkSettings):
    """Settings of LBP-TOP with a linear support vector machine."""

    blocks: int = Field(default=5, ge=1, le=64)
    """Along each side of the face (K: Yan et al. 2014)."""
    neighbours: int = Field(default=4, ge=2, le=16)
    """On the circle around a pixel (K: the same)."""
    radius_px: int = Field(default=1, ge=1, le=32)
    """Of the circle along x and y (K: the same)."""
    radius_frames: int = Field(default=2, ge=1, le=64)
    """Of the circle along time (A; the 4 of Yan et al. needs more than 8 frames)."""
    c: float = Field(default=100.0, gt=0.0)
    """Of the support vector machine (A)."""


def uniform_bins(neighbours: int) -> Int[Tensor, " patterns"]:
    """Bin of each of the `2 ** neighbours` patterns.

    Patterns that change at most twice around the circle have a bin each, in the order of their
    numbers; all others share the last one.

    Source:
        Ojala et al. 2002.
    """
    patterns = range(2**neighbours)
    turns = [_changes(pattern, neighbours) for pattern in patterns]
    uniform = [pattern for pattern in patterns if turns[pattern] <= 2]
    place = {pattern: bin_ for bin_, pattern in enumerate(uniform)}
    bins = [place.get(pattern, len(uniform)) for pattern in patterns]
    return torch.tensor(bins, device="cpu")


def _changes(pattern: int, neighbours: int) -> int:
    bits = [pattern >> i & 1 for i in range(neighbours)]
    return sum(bits[i] != bits[i - 1] for i in range(neighbours))


def patterns(
    frames: Float[Tensor, "b t h w"],
    *,
    plane: tuple[int, int],
    neighbours: int,
    radii: tuple[int, int, int],
) -> Int[Tensor, "b i j k"]:
    """Pattern of each pixel of a plane whose circles lie within the clip on all planes.

    Bit p is set where neighbour p is at least as bright as the pixel. Neighbours lie on an ellipse
    and are interpolated between pixels.

    Args:
        frames: `[B, t, H, W]`.
        plane: Axes of `[t, y, x]` along which the circle's cosine and sine run.
        neighbours: On the circle.
        radii: Of the circle along t, y and x.

    Returns:
        `[B, t - 2 r_t, H - 2 r_y, W - 2 r_x]`, from 0 to `2 ** neighbours - 1`.
    """

    def shifted(offset: list[int]) -> Tensor:
        clip = frames
        for axis, radius in enumerate(radii):
            length = frames.shape[axis + 1] - 2 * radius
            clip = clip.narrow(axis + 1, radius + offset[axis], length)
        return clip

    centre = shifted([0, 0, 0])
    found = torch.zeros(centre.shape, dtype=torch.long, device=frames.device)
    for p in range(neighbours):
        angle = 2 * math.pi * p / neighbours
        along = {
            plane[0]: round(radii[plane[0]] * math.cos(angle), 9),
            plane[1]: round(radii[plane[1]] * math.sin(angle), 9),
        }
        difference = torch.zeros_like(centre)  # of the neighbour, so that equal pixels give 0
        for upper in itertools.product((False, True), repeat=2):
            offset, share = [0, 0, 0], 1.0
            for axis, up in zip(plane, upper, strict=True):
                low = math.floor(along[axis])
                part = along[axis] - low
                offset[axis] = low + up
                share *= part if up else 1 - part
            if share:
                difference += share * (shifted(offset) - centre)
        found |= (difference >= 0).long() << p
    return found


def lbp_top(
    frames: Float[Tensor, "b t h w"],
    *,
    blocks: int,
    neighbours: int,
    radius_px: int,
    radius_frames: int,
) -> Float[Tensor, "b features"]:
    """Histograms of uniform patterns, of each plane and block, each with sum 1.

    Args:
        frames: Grey `[B, t, H, W]`; only the order of grey values matters.
        blocks: Along each side, over all of time.
        neighbours: On each circle.
        radius_px: Of circles along x and y.
        radius_frames: Of circles along time.

    Returns:
        `[B, 3 * blocks * blocks * bins]`: planes, block rows, block columns, bins.

    Source:
        Zhao and Pietikainen 2007, IEEE TPAMI.
    """
    radii = (radius_frames, radius_px, radius_px)
    bins = uniform_bins(neighbours).to(frames.device)
    count = int(bins.max()) + 1
    histograms = []
    for plane in PLANES:
        found = bins[patterns(frames, plane=plane, neighbours=neighbours, radii=radii)]
        clips, _, height, width = found.shape
        row = torch.arange(height, device=frames.device) * blocks // height
        column = torch.arange(width, device=frames.device) * blocks // width
        clip = torch.arange(clips, device=frames.device)[:, None, None, None]
        place = (clip * blocks + row[:, None]) * blocks + column  # [B, 1, h, w]
        hits = torch.bincount(
            (place * count + found).flatten(), minlength=clips * blocks**2 * count
        )
        histogram = hits.view(clips, blocks**2, count).to(frames.dtype)
        histograms.append(histogram / histogram.sum(dim=-1, keepdim=True))
    return torch.stack(histograms, dim=1).flatten(1)


class LBPTOP(nn.Module):
    """LBP-TOP of a clip's frames.

    Args:
        settings: Of the features.
    """

    def __init__(self, settings: LBPTOPSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, frames: Float[Tensor, "b t p p"]) -> Float[Tensor, "b features"]:
        """Map frames `[B, t, P, P]` to `[B, features]`."""
        settings = self.settings
        return lbp_top(
            frames,
            blocks=settings.blocks,
            neighbours=settings.neighbours,
            radius_px=settings.radius_px,
            radius_frames=settings.radius_frames,
        )


def build(settings: LBPTOPSettings) -> OnFeatures:
    """LBP-TOP and its classifier, of their settings.

    Raises:
        ConfigError: If no circle fits into a clip, or a block would be empty.
    """
    if settings.frames <= 2 * settings.radius_frames:
        raise ConfigError(
            f"model.radius_frames={settings.radius_frames}: clips of {settings.frames} frames are "
            f"too short; they need {2 * settings.radius_frames + 1}"
        )
    if settings.crop_px - 2 * settings.radius_px < settings.blocks:
        raise ConfigError(
            f"model.blocks={settings.blocks}: a crop of {settings.crop_px} px leaves no pixel for "
            f"each with model.radius_px={settings.radius_px}"
        )
    count = 3 * settings.blocks**2 * (int(uniform_bins(settings.neighbours).max()) + 1)
    return OnFeatures(
        views=VIEWS,
        features=LBPTOP(settings),
        classifier=classifier_of(settings, count, "svm", settings.c, standardise=False),
    )


network = Network(
    name="lbp-top",
    source=(
        "Zhao and Pietikainen 2007 (IEEE TPAMI), blocks and circles of Yan et al. 2014, with a "
        "linear SVM. Ours differs: the circle along time is 2 frames, clips have 8."
    ),
    views=VIEWS,
    settings=LBPTOPSettings,
    build=build,
    presets={"paper": AT_ONCE, "tiny": AT_ONCE},
)
