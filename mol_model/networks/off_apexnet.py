"""Off-ApexNet: two convolutions over horizontal and vertical flow, in one stream or in two."""

from typing import Literal

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

MAPS = (6, 16)
"""Of both convolutions (K, R)."""

Form = Literal["one-stream", "two-stream"]


class OffApexNetSettings(FlowPictureSettings):
    """Settings of Off-ApexNet."""

    form: Form = "one-stream"
    """`one-stream`: MEB's, u and v as two channels; `two-stream`: the paper's, a stream each."""
    hidden: int = Field(default=1024, ge=1, le=8192)
    """Width of the hidden layers (R)."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """After the pools and before the last layer (R); in two streams the latter alone."""


def _stream(channels: int, kernel: int, dropout: float) -> nn.Sequential:
    """Two convolutions that keep the size, each with a pool: 28 -> 14 -> 7."""
    first, second = MAPS
    return nn.Sequential(
        nn.Conv2d(channels, first, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
        nn.Flatten(),  # 16 x 7 x 7
    )


class OffApexNet(nn.Module):
    """MEB's form: one stream of 3x3 convolutions over both components, one hidden layer.

    Args:
        classes: Expression classes.
        hidden: Width of the hidden layer.
        dropout: After the second pool and before the last layer.

    Source:
        Gan et al. 2019, Signal Processing: Image Communication, as MEB builds it.
    """

    def __init__(self, *, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.stream = _stream(2, 3, dropout)
        self.classifier = nn.Sequential(
            nn.Linear(MAPS[-1] * 49, hidden), nn.ReLU(), nn.Dropout(dropout)
        )
        self.last = nn.Linear(hidden, classes)

    def forward(self, picture: Float[Tensor, "b 3 28 28"]) -> Float[Tensor, "b classes"]:
        """Map pictures `[B, 3, 28, 28]`, of which strain is not seen, to logits."""
        return self.last(self.classifier(self.stream(picture[:, :2])))


class TwoStreamOffApexNet(nn.Module):
    """The paper's form: a stream of 5x5 convolutions for each component, two hidden layers.

    Args:
        classes: Expression classes.
        hidden: Width of the hidden layers.
        dropout: Before the last layer.

    Source:
        Gan et al. 2019; that convolutions keep the size is assumed.
    """

    def __init__(self, *, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.horizontal = _stream(1, 5, 0.0)
        self.vertical = _stream(1, 5, 0.0)
        self.classifier = nn.Sequential(
            nn.Linear(2 * MAPS[-1] * 49, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.last = nn.Linear(hidden, classes)

    def forward(self, picture: Float[Tensor, "b 3 28 28"]) -> Float[Tensor, "b classes"]:
        """Map pictures `[B, 3, 28, 28]`, of which strain is not seen, to logits."""
        streams = [self.horizontal(picture[:, :1]), self.vertical(picture[:, 1:2])]
        return self.last(self.classifier(torch.cat(streams, dim=1)))


def build(settings: OffApexNetSettings) -> OnFlowPicture:
    """Off-ApexNet of its settings."""
    kind = OffApexNet if settings.form == "one-stream" else TwoStreamOffApexNet
    network = kind(classes=settings.classes, hidden=settings.hidden, dropout=settings.dropout)
    return OnFlowPicture(FlowPicture.of(settings, SIZE), network)


_PUBLISHED = {
    # Adam, 1e-4, decay 1e-3, 3000 epochs of batches of 32 (R, MEB): 14 steps an epoch of 442 clips.
    "data": {"flip": False, "random_crop": False},
    "training": {
        "steps": 42000,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "weight_decay": 1e-3,
        "optimiser": "adam",
    },
}

network = Network(
    name="off-apexnet",
    source=(
        "Gan et al. 2019 (SPIC), by default as MEB builds it: one stream, which the paper's is "
        "not. Ours differs: flow from the aligned crop."
    ),
    views=PICTURE_VIEWS,
    settings=OffApexNetSettings,
    build=build,
    presets={
        "paper": _PUBLISHED,
        "two-stream": {"model": {"form": "two-stream"}, **_PUBLISHED},
        "tiny": {
            "model": {"scaling": "train", "nose_centred": True, "hidden": 128},
            "data": {"flip": False, "random_crop": False},
            "training": {
                "steps": 300,
                "batch_size": 32,
                "learning_rate": 1e-3,
                "schedule": "cosine",
            },
        },
    },
)
