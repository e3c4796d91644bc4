"""STSTNet: three shallow streams over the picture of u, v and strain."""

from collections.abc import Sequence
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

SIZE = 28
"""Side of the picture (R)."""

Width = Annotated[int, Field(ge=1, le=1024)]


class STSTNetSettings(FlowPictureSettings):
    """Settings of STSTNet."""

    streams: tuple[Width, ...] = Field(default=(3, 5, 8), min_length=1, max_length=16)
    """Maps of each stream (R)."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """At the end of each stream (R)."""


class STSTNet(nn.Module):
    """Streams of one convolution each see all channels; a linear layer reads them together.

    Args:
        streams: Maps of each stream.
        classes: Expression classes.
        dropout: At the end of each stream.

    Source:
        Liong et al. 2019, FG, "Shallow Triple Stream Three-dimensional CNN"; layers of the
        authors' code.
    """

    def __init__(self, *, streams: Sequence[int], classes: int, dropout: float) -> None:
        super().__init__()
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, maps, 3, padding=2),  # 28 -> 30
                nn.ReLU(),
                nn.BatchNorm2d(maps),
                nn.MaxPool2d(3, stride=3, padding=1),  # -> 10
                nn.Dropout(dropout),
            )
            for maps in streams
        )
        self.pool = nn.AvgPool2d(2)  # -> 5
        self.classifier = nn.Linear(sum(streams) * 5 * 5, classes)

    def forward(self, picture: Float[Tensor, "b 3 28 28"]) -> Float[Tensor, "b classes"]:
        """Map pictures `[B, 3, 28, 28]` to logits `[B, classes]`."""
        maps = torch.cat([stream(picture) for stream in self.streams], dim=1)  # [B, 16, 10, 10]
        return self.classifier(self.pool(maps).flatten(1))


def build(settings: STSTNetSettings) -> OnFlowPicture:
    """STSTNet of its settings."""
    network = STSTNet(streams=settings.streams, classes=settings.classes, dropout=settings.dropout)
    return OnFlowPicture(FlowPicture.of(settings, SIZE), network)


network = Network(
    name="ststnet",
    source=(
        "Liong et al. 2019 (FG). Ours differs from the authors' code: pictures are scaled, not "
        "fed as 0..255; training is shuffled; flow from the aligned crop; strain by the symmetric "
        "formula."
    ),
    views=PICTURE_VIEWS,
    settings=STSTNetSettings,
    build=build,
    presets={
        # Adam, 5e-5, batch 256, 500 epochs (R, MATLAB): two steps an epoch of the 442 clips.
        "paper": {
            "data": {"flip": False, "random_crop": False},
            "training": {
                "steps": 1000,
                "batch_size": 256,
                "learning_rate": 5e-5,
                "optimiser": "adam",
            },
        },
        "tiny": {
            "model": {"scaling": "train", "nose_centred": True},
            "data": {"flip": False, "random_crop": False},
            "training": {
                "steps": 400,
                "batch_size": 32,
                "learning_rate": 3e-3,
                "schedule": "cosine",
            },
        },
    },
)
