"""SSSNet: two convolutions over the picture of u, v and strain, the strongest small network."""

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

SIZE = 64
"""Side of the picture (R)."""


class SSSNetSettings(FlowPictureSettings):
    """Settings of SSSNet."""

    maps: tuple[int, int] = (32, 64)
    """Of both convolutions (R)."""
    hidden: int = Field(default=256, ge=1, le=8192)
    """Width of the hidden layer (R)."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Of whole maps after each block, and of the hidden layer (R)."""


class SSSNet(nn.Module):
    """Two blocks of convolution, ReLU, pool, batch norm; one hidden layer.

    Args:
        maps: Of both convolutions.
        hidden: Width of the hidden layer.
        classes: Expression classes.
        dropout: Of maps and of the hidden layer.

    Source:
        Varanka et al. 2021, as in MEB.
    """

    def __init__(self, *, maps: tuple[int, int], hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        first, second = maps
        self.blocks = nn.Sequential(
            nn.Conv2d(3, first, 5),  # 64 -> 60
            nn.ReLU(),
            nn.MaxPool2d(3),  # -> 20
            nn.BatchNorm2d(first),
            nn.Dropout2d(dropout),
            nn.Conv2d(first, second, 3),  # -> 18
            nn.ReLU(),
            nn.MaxPool2d(2),  # -> 9
            nn.BatchNorm2d(second),
            nn.Dropout2d(dropout),
        )
        self.hidden = nn.Sequential(nn.Linear(second * 81, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, picture: Float[Tensor, "b 3 64 64"]) -> Float[Tensor, "b classes"]:
        """Map pictures `[B, 3, 64, 64]` to logits `[B, classes]`."""
        return self.classifier(self.hidden(self.blocks(picture).flatten(1)))


def build(settings: SSSNetSettings) -> OnFlowPicture:
    """SSSNet of its settings."""
    network = SSSNet(
        maps=settings.maps,
        hidden=settings.hidden,
        classes=settings.classes,
        dropout=settings.dropout,
    )
    return OnFlowPicture(FlowPicture.of(settings, SIZE), network)


network = Network(
    name="sssnet",
    source=(
        "Varanka et al. 2021, as MEB builds it. Ours differs: flow from the aligned crop; strain "
        "by the symmetric formula, MEB's weighs stretch and shear the wrong way round."
    ),
    views=PICTURE_VIEWS,
    settings=SSSNetSettings,
    build=build,
    presets={
        # Adam, 1e-4, decay 1e-3, 200 epochs of batches of 32 (R, MEB): 14 steps an epoch.
        "paper": {
            "data": {"flip": False, "random_crop": False},
            "training": {
                "steps": 2800,
                "batch_size": 32,
                "learning_rate": 1e-4,
                "weight_decay": 1e-3,
                "optimiser": "adam",
            },
        },
        "tiny": {
            "model": {"scaling": "train", "nose_centred": True, "maps": [16, 32], "hidden": 64},
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
