"""MMNet: what changes from onset to apex, and, beside it, where on the face it is."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mol_model.config.network import NetworkSettings
from mol_model.networks.interface import Network
from mol_pipeline.contract.errors import ConfigError

SHRINK = 16
"""How much smaller than the picture the maps are that are classified (R)."""

Width = Annotated[int, Field(ge=1, le=4096)]


class MMNetSettings(NetworkSettings):
    """Settings of MMNet."""

    size: int = Field(default=224, ge=SHRINK, le=1024, multiple_of=SHRINK)
    """Side of the pictures (R)."""
    entry: tuple[Width, Width] = (180, 128)
    """Channels of the first two convolutions (R)."""
    widths: tuple[Width, Width, Width, Width] = (128, 128, 256, 512)
    """Channels of the four attention blocks (R); the last is the width of a position too."""
    depth: int = Field(default=2, ge=1, le=64)
    """Transformer layers over positions (R; 3 in the script of three classes)."""
    heads: int = Field(default=4, ge=1, le=64)
    """Of each (R); must divide the last of `widths`."""
    hidden: int = Field(default=4, ge=1, le=16)
    """Width of their hidden layer over the width of a position (R)."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """In the transformer (A)."""


def _unit(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class ContinuousAttentionBlock(nn.Module):
    """Two convolutions, a residual, and attention that goes on from the block before.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        stride: 1 or 2.

    Source:
        Li et al. 2022, MMNet: the CA block.
    """

    def __init__(self, *, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            _unit(inputs, outputs, stride),
            nn.Conv2d(outputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )
        self.attention = nn.Sequential(
            nn.Conv2d(2, 1, 1, bias=False), nn.BatchNorm2d(1), nn.Sigmoid()
        )
        self.stride = stride

    def forward(
        self, x: Float[Tensor, "b c h w"], before: Float[Tensor, "b 1 h w"] | None
    ) -> tuple[Float[Tensor, "b d i j"], Float[Tensor, "b 1 i j"]]:
        """Map `[B, C, H, W]` and the attention of the block before to maps and attention.

        Args:
            x: Maps.
            before: Attention `[B, 1, H, W]`, or None in the first block.
        """
        x = functional.relu(self.convs(x) + self.shortcut(x))
        both = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        attention = self.attention(both)
        if before is not None:
            attention = attention * functional.max_pool2d(before, self.stride)
        return x * attention, attention


class Positions(nn.Module):
    """What the onset face says of where things are: a transformer over its coarse pixels.

    Args:
        side: Positions along a side.
        width: Of a position.
        depth: Layers.
        heads: Of each.
        hidden: Width of the hidden layer over `width`.
        dropout: In the layers.
    """

    def __init__(
        self, *, side: int, width: int, depth: int, heads: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.side = side
        self.embed = nn.Linear(3, width)
        self.place = nn.Parameter(torch.randn(side * side, width) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                heads,
                hidden * width,
                dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(depth)
        )

    def forward(self, onset: Float[Tensor, "b 3 p p"]) -> Float[Tensor, "b width side side"]:
        """Map pictures `[B, 3, P, P]` to `[B, width, side, side]`."""
        coarse = functional.interpolate(onset, size=(self.side, self.side), mode="area")
        tokens = self.embed(coarse.flatten(2).transpose(1, 2)) + self.place
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens.transpose(1, 2).unflatten(2, (self.side, self.side))


class MMNet(nn.Module):
    """Blocks of attention over the difference of apex and onset; positions are added at the end.

    Args:
        size: Side of the pictures.
        entry: Channels of the first two convolutions.
        blocks: Of attention.
        positions: The side branch.
        features: Channels times positions of what is classified.
        classes: Expression classes.

    Source:
        Li et al. 2022, IJCAI, "MMNet: Muscle Motion-Guided Network for Micro-Expression
        Recognition"; numbers of the authors' code.
    """

    def __init__(
        self,
        *,
        size: int,
        entry: tuple[int, int],
        blocks: list[ContinuousAttentionBlock],
        positions: Positions,
        features: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.size = size
        self.entry = nn.Sequential(_unit(3, entry[0], 2), _unit(entry[0], entry[1], 1))
        self.blocks = nn.ModuleList(blocks)
        self.positions = positions
        self.classifier = nn.Linear(features, classes)

    def forward(self, key_frames: Float[Tensor, "b 3 p p"]) -> Float[Tensor, "b classes"]:
        """Map onset, apex and offset `[B, 3, P, P]`, of which the last is not seen, to logits."""
        pictures = functional.interpolate(
            key_frames[:, :2], size=(self.size, self.size), mode="bilinear", align_corners=False
        )
        # Grey in place of red, green and blue: shards have no colour.
        onset, apex = (pictures[:, i : i + 1].expand(-1, 3, -1, -1) for i in (0, 1))
        x, attention = self.entry(apex - onset), None
        for block in self.blocks:
            x, attention = block(x, attention)
        return self.classifier((x + self.positions(onset)).flatten(1))


def build(settings: MMNetSettings) -> MMNet:
    """MMNet of its settings.

    Raises:
        ConfigError: If heads do not divide the width of a position.
    """
    width, side = settings.widths[-1], settings.size // SHRINK
    if width % settings.heads:
        raise ConfigError(
            f"model.heads={settings.heads}: must divide {width}, the last of model.widths"
        )
    inputs = (settings.entry[1], *settings.widths)
    blocks = [
        ContinuousAttentionBlock(inputs=inputs[i], outputs=settings.widths[i], stride=stride)
        for i, stride in enumerate((1, 2, 2, 2))
    ]
    positions = Positions(
        side=side,
        width=width,
        depth=settings.depth,
        heads=settings.heads,
        hidden=settings.hidden,
        dropout=settings.dropout,
    )
    return MMNet(
        size=settings.size,
        entry=settings.entry,
        blocks=blocks,
        positions=positions,
        features=width * side * side,
        classes=settings.classes,
    )


network = Network(
    name="mmnet",
    source=(
        "Li et al. 2022 (IJCAI). Ours differs from the authors' code: grey stands for all three "
        "colours; frames of 144 px are enlarged to 224; onset and apex are the annotated ones in "
        "training too; faces are not turned at random; the test subject chooses no epoch."
    ),
    views=("key-frames",),
    settings=MMNetSettings,
    build=build,
    presets={
        # AdamW, 8e-4, decay 0.6, times 0.987 an epoch, 74 epochs of batches of 32 (R): about 8
        # steps an epoch of one database. The authors' crop moves by 15 px of 224, ours by 8 of 144.
        "paper": {
            "model": {"crop_px": 136},
            "data": {"flip": True, "random_crop": True},
            "training": {
                "steps": 592,
                "batch_size": 32,
                "learning_rate": 8e-4,
                "weight_decay": 0.6,
                "optimiser": "adamw",
                "schedule": "exponential",
                "decay": 0.987,
                "decay_every": 8,
            },
        },
        "tiny": {
            "model": {
                "size": 112,
                "entry": [16, 16],
                "widths": [16, 16, 32, 64],
                "depth": 1,
            },
            "data": {"flip": False, "random_crop": False},
            "training": {
                "steps": 200,
                "batch_size": 16,
                "learning_rate": 2e-3,
                "weight_decay": 0.05,
                "schedule": "cosine",
                "clip_gradient": 1.0,
            },
        },
    },
)
