"""From frames to one vector each: stem, four stages of blocks, a linear head."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mol_model.networks.fdp.blocks import (
    GlobalBlock,
    LocalBlock,
    MultiHeadConvolution,
    ReleaseConvolution,
    Unit,
)
from mol_model.networks.fdp.settings import STAGES, FDPSettings, attention_width

START_SCALE = 0.02
"""Standard deviation of the first weights (R)."""


class FrameNetwork(nn.Module):
    """Frames to vectors; parts bear the names of the release.

    Args:
        stem: Frames to maps of a quarter of their size.
        blocks: Maps to smaller ones.
        width: Channels of the last.
        features: Length of a frame's vector.

    Source:
        FDP (P: aggregators of local and global blocks); frame and widths of Next-ViT-S (R).
    """

    def __init__(
        self, *, stem: list[Unit], blocks: list[nn.Module], width: int, features: int
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(*stem)
        self.features = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(width)
        self.proj_head = nn.Sequential(nn.Linear(width, features))
        self.apply(_start)

    def forward(self, frames: Float[Tensor, "n 1 s s"]) -> Float[Tensor, "n features"]:
        """Map frames `[n, 1, side, side]` to `[n, features]`."""
        maps = self.norm(self.features(self.stem(frames)))
        return self.proj_head(maps.mean(dim=(2, 3)))


def _start(module: nn.Module) -> None:
    """First weights of a layer: truncated normal, biases zero (R)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=START_SCALE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def frame_network(settings: FDPSettings) -> FrameNetwork:
    """The network of a frame that settings describe."""
    first, second, third, last = settings.stem
    stem = [Unit(1, first, 2), Unit(first, second, 1), Unit(second, third, 1), Unit(third, last, 2)]
    widths = [width for _, width, _ in _layout(settings)]
    return FrameNetwork(
        stem=stem,
        blocks=list(_blocks(settings)),
        width=widths[-1],
        features=settings.side**2,
    )


def _layout(settings: FDPSettings) -> list[tuple[int, int, bool]]:
    """Stage, width and whether it is global, of each block."""
    layout = []
    for stage in range(STAGES):
        depth = settings.depths[stage]
        count = {"both": min(settings.global_blocks, depth), "local": 0, "global": depth}
        last_local = depth - count[settings.blocks]
        for place in range(depth):
            is_global = place >= last_local
            width = (settings.global_widths if is_global else settings.widths)[stage]
            layout.append((stage, width, is_global))
    return layout


def _blocks(settings: FDPSettings) -> Iterator[nn.Module]:
    """The blocks in their order."""
    layout = _layout(settings)
    rates = torch.linspace(0, settings.drop_path, len(layout), device="cpu").tolist()
    inputs, before = settings.stem[-1], 0
    for (stage, width, is_global), rate in zip(layout, rates, strict=True):
        if is_global:
            yield GlobalBlock(
                inputs=inputs,
                width=width,
                attended=attention_width(width, settings),
                halve=stage > before,
                head_width=settings.head_width,
                reduction=settings.reductions[stage],
                hidden=settings.global_hidden,
                drop_path=rate,
            )
        else:
            release = settings.flavour == "release"
            yield LocalBlock(
                inputs=inputs,
                width=width,
                halve=stage > before,
                convolution=ReleaseConvolution(width)
                if release
                else MultiHeadConvolution(width, settings.head_width),
                hidden=settings.local_hidden,
                drop_path=rate,
            )
        inputs, before = width, stage
