"""HTNet: transformers over four pieces of the flow picture, from small blocks to the whole.

As published each block of attention holds one position: 28 px in patches of 7 give 4 x 4, cut into
16, 4 and 1 blocks while pools halve the sides. A softmax over one key is 1, so queries and keys
have no part in the result. The preset `narrow` takes patches of 4 of a picture of 32 px: a block
holds 2 x 2, and attention attends.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from mol_model.networks.flow_picture import (
    PICTURE_VIEWS,
    FlowPicture,
    FlowPictureSettings,
    OnFlowPicture,
)
from mol_model.networks.interface import Network
from mol_pipeline.contract.errors import ConfigError

MOUTH_CORNERS = (48, 54)
"""Of the 68 points, left and right of the picture."""

EYES = (range(36, 42), range(42, 48))
"""Of the 68 points, left and right of the picture."""

Depth = Annotated[int, Field(ge=1, le=64)]


class HTNetSettings(FlowPictureSettings):
    """Settings of HTNet."""

    size: int = Field(default=28, ge=4, le=512, multiple_of=4)
    """Side of the picture (R)."""
    patch: int = Field(default=7, ge=1, le=128)
    """Side of a patch (R)."""
    width: int = Field(default=256, ge=1, le=4096)
    """Channels of the first level; each level doubles them (R)."""
    heads: int = Field(default=3, ge=1, le=64)
    """Of the first level; each level doubles them (R). A head is `width // heads` wide."""
    depths: tuple[Depth, ...] = Field(default=(2, 2, 10), min_length=1, max_length=6)
    """Layers of each level (R); the first level has 4 ^ (levels - 1) blocks."""
    hidden: int = Field(default=4, ge=1, le=16)
    """Width of the hidden layer over a level's channels."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """In attention's output and in the hidden layer."""


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each position.

    Args:
        channels: C.
    """

    EPSILON = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Map `[B, C, H, W]` to `[B, C, H, W]`."""
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        return (x - mean) / torch.sqrt(variance + self.EPSILON) * self.gain + self.shift


class BlockAttention(nn.Module):
    """Every position of a block looks at all positions of that block.

    Args:
        channels: C.
        heads: Of `C // heads` channels each, so that they need not fill C.
        dropout: Of the output.
    """

    def __init__(self, *, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        inner = channels // heads * heads
        self.to_qkv = nn.Conv2d(channels, 3 * inner, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(inner, channels, 1), nn.Dropout(dropout))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Map blocks `[B, C, h, w]` to `[B, C, h, w]`."""
        qkv = self.to_qkv(x).flatten(2).unflatten(1, (3, self.heads, -1))  # [B, 3, heads, d, hw]
        query, key, value = qkv.transpose(3, 4).unbind(dim=1)  # [B, heads, hw, d]
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.to_out(mixed.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:]))


class BlockTransformer(nn.Module):
    """Layers of attention and hidden layer, each after a norm, each added to its input.

    Args:
        channels: C.
        side: Positions of a block along a side.
        depth: Layers.
        heads: Of attention.
        hidden: Width of the hidden layer over C.
        dropout: Of both.
    """

    def __init__(
        self, *, channels: int, side: int, depth: int, heads: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(side, side))  # one number a position (R)
        self.attention = nn.ModuleList(
            nn.Sequential(
                ChannelNorm(channels),
                BlockAttention(channels=channels, heads=heads, dropout=dropout),
            )
            for _ in range(depth)
        )
        self.mixing = nn.ModuleList(
            nn.Sequential(
                ChannelNorm(channels),
                nn.Conv2d(channels, channels * hidden, 1),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Conv2d(channels * hidden, channels, 1),
                nn.Dropout(dropout),
            )
            for _ in range(depth)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Map blocks `[B, C, side, side]` to the same."""
        x = x + self.position
        for attention, mixing in zip(self.attention, self.mixing, strict=True):
            x = x + attention(x)
            x = x + mixing(x)
        return x


def cut_blocks(x: Float[Tensor, "b c h w"], blocks: int) -> Float[Tensor, "n c i j"]:
    """`blocks` x `blocks` blocks of `[B, C, H, W]`: `[B blocks^2, C, H/blocks, W/blocks]`."""
    x = x.unflatten(3, (blocks, -1)).unflatten(2, (blocks, -1))  # [B, C, i, h, j, w]
    return x.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def join_blocks(x: Float[Tensor, "n c i j"], blocks: int) -> Float[Tensor, "b c h w"]:
    """Undo `cut_blocks`."""
    x = x.unflatten(0, (-1, blocks, blocks))  # [B, i, j, C, h, w]
    return x.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


class HTNet(nn.Module):
    """Levels of transformers over ever fewer blocks; between them maps are joined and halved.

    Args:
        patch: Side of a patch.
        side: Patches along a side of the picture.
        width: Channels of the first level.
        heads: Heads of the first level.
        depths: Layers of each level.
        hidden: Width of a hidden layer over the channels.
        classes: Expression classes.
        dropout: See `HTNetSettings`.

    Source:
        Wang et al. 2024, Neurocomputing, "HTNet for micro-expression recognition"; numbers of the
        authors' code.
    """

    def __init__(
        self,
        *,
        patch: int,
        side: int,
        width: int,
        heads: int,
        depths: Sequence[int],
        hidden: int,
        classes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        levels = len(depths)
        self.blocks = [2**level for level in reversed(range(levels))]
        self.embed = nn.Conv2d(3, width, patch, stride=patch)  # a linear map of each patch
        widths = [width * 2**level for level in range(levels)]
        self.levels = nn.ModuleList(
            BlockTransformer(
                channels=widths[level],
                side=side // self.blocks[0],
                depth=depth,
                heads=heads * 2**level,
                hidden=hidden,
                dropout=dropout,
            )
            for level, depth in enumerate(depths)
        )
        self.joins = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(narrow, wide, 3, padding=1),
                ChannelNorm(wide),
                nn.MaxPool2d(3, stride=2, padding=1),
            )
            for narrow, wide in pairwise(widths)
        )
        self.norm = ChannelNorm(widths[-1])
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, picture: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b classes"]:
        """Map pictures `[B, 3, size, size]` to logits `[B, classes]`."""
        x = self.embed(picture)  # [B, width, side, side]
        for level, transformer in enumerate(self.levels):
            if level:
                x = self.joins[level - 1](x)
            blocks = self.blocks[level]
            x = join_blocks(transformer(cut_blocks(x, blocks)), blocks)
        return self.classifier(self.norm(x).mean(dim=(2, 3)))


def four_pieces(
    picture: Float[Tensor, "b c s s"], landmarks: Float[Tensor, "b 68 2"], crop_px: int
) -> Float[Tensor, "b c s s"]:
    """Pieces at both eyes and both corners of the mouth, tiled to a picture of the same size.

    A piece is half as wide as the picture and lies in it wholly. Left eye and left corner are the
    upper row, right eye and right corner the lower one (R).

    Args:
        picture: `[B, C, S, S]`.
        landmarks: Of the face that is cut, `[B, 68, 2]`, `(x, y)` in pixels of the crop.
        crop_px: Side of the crop.
    """
    size = picture.shape[-1]
    half, quarter = size // 2, size // 4
    eyes = [landmarks[:, list(points)].mean(dim=1) for points in EYES]
    mouth = [landmarks[:, point] for point in MOUTH_CORNERS]
    centres = torch.stack([eyes[0], mouth[0], eyes[1], mouth[1]], dim=1)  # [B, 4, 2]
    # Pixel centres are at whole numbers in both pictures.
    centres = (centres + 0.5) * (size / crop_px) - 0.5
    corner = (centres.round() - quarter).clamp(0, size - half).long()
    span = torch.arange(half, device=picture.device)
    rows = (corner[..., 1, None] + span)[..., :, None]  # [B, 4, half, 1]
    columns = (corner[..., 0, None] + span)[..., None, :]
    clip = torch.arange(len(picture), device=picture.device)[:, None, None, None]
    pieces = picture.movedim(1, -1)[clip, rows, columns]  # [B, 4, half, half, C]
    pieces = pieces.movedim(-1, 1).unflatten(2, (2, 2))  # [B, C, 2, 2, half, half]
    return pieces.transpose(3, 4).flatten(4, 5).flatten(2, 3)


class OnFourPieces(OnFlowPicture):
    """HTNet as the seam has it: it sees four pieces of the picture."""

    def forward(
        self, key_flow: Float[Tensor, "b 2 2 p p"], key_landmarks: Float[Tensor, "b 3 68 2"]
    ) -> Float[Tensor, "b classes"]:
        """Map flow `[B, 2, 2, P, P]` and points `[B, 3, 68, 2]` to logits `[B, classes]`."""
        picture = self.picture(key_flow, key_landmarks)
        apex = key_landmarks[:, 1]
        return self.network(four_pieces(picture, apex, key_flow.shape[-1]))


def build(settings: HTNetSettings) -> OnFourPieces:
    """HTNet of its settings.

    Raises:
        ConfigError: If patches and blocks do not divide the picture.
    """
    side, rest = divmod(settings.size, settings.patch)
    blocks = 2 ** (len(settings.depths) - 1)
    if rest or side % blocks:
        raise ConfigError(
            f"model.size={settings.size}, model.patch={settings.patch}: the picture must be cut "
            f"into patches and these into {blocks} x {blocks} blocks (model.depths)"
        )
    if settings.heads > settings.width:
        raise ConfigError(
            f"model.heads={settings.heads}: more than the {settings.width} channels of model.width"
        )
    network = HTNet(
        patch=settings.patch,
        side=side,
        width=settings.width,
        heads=settings.heads,
        depths=settings.depths,
        hidden=settings.hidden,
        classes=settings.classes,
        dropout=settings.dropout,
    )
    return OnFourPieces(FlowPicture.of(settings, settings.size), network)


_NARROW = {"size": 32, "patch": 4, "width": 32, "heads": 2, "depths": [1, 1, 2]}

network = Network(
    name="htnet",
    source=(
        "Wang et al. 2024 (Neurocomputing). Ours differs from the authors' code: pieces are cut at "
        "the points of the aligned face, not at those found on a face of 28 px, and x and y are "
        "not exchanged; pictures are scaled; the test subject chooses no epoch."
    ),
    views=PICTURE_VIEWS,
    settings=HTNetSettings,
    build=build,
    presets={
        # Adam, 5e-5, batch 256, 800 epochs (R): two steps an epoch of the 442 clips.
        "paper": {
            "data": {"flip": False, "random_crop": False},
            "training": {
                "steps": 1600,
                "batch_size": 256,
                "learning_rate": 5e-5,
                "optimiser": "adam",
            },
        },
        "narrow": {
            "model": _NARROW,
            "data": {"flip": False, "random_crop": False},
            "training": {
                "steps": 1600,
                "batch_size": 256,
                "learning_rate": 5e-5,
                "optimiser": "adam",
            },
        },
        "tiny": {
            "model": {"scaling": "train", "nose_centred": True, **_NARROW},
            "data": {"flip": False, "random_crop": False},
            "training": {
                "steps": 300,
                "batch_size": 32,
                "learning_rate": 1e-3,
                "schedule": "cosine",
                "clip_gradient": 1.0,
            },
        },
    },
)
