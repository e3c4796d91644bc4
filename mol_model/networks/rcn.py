"""RCN-A: a recurrent convolution whose maps are weighed by where the classifier looks."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from mol_model.networks.flow_picture import (
    PICTURE_VIEWS,
    FlowPicture,
    FlowPictureSettings,
    OnFlowPicture,
    min_max,
)
from mol_model.networks.interface import Network

SIZE = 60
"""Side of the picture (R)."""

POOLED = 5
"""Side of the maps that are classified (R)."""


class RCNASettings(FlowPictureSettings):
    """Settings of RCN-A."""

    maps: int = Field(default=64, ge=1, le=1024)
    """Of every convolution (R)."""
    repeats: int = Field(default=2, ge=1, le=16)
    """How often the recurrent convolution is run (R)."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """After each pool (R)."""


def _unit(inputs: int, outputs: int, kernel: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class RecurrentConvolution(nn.Module):
    """`y = A(x)`, then `y = B(x + y)` again and again with the same weights.

    Args:
        maps: Channels.
        repeats: How often B is run.
    """

    def __init__(self, *, maps: int, repeats: int) -> None:
        super().__init__()
        self.forth = _unit(maps, maps, 1, 0)
        self.back = _unit(maps, maps, 3, 1)
        self.repeats = repeats

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Map `[B, C, H, W]` to `[B, C, H, W]`."""
        y = self.forth(x)
        for _ in range(self.repeats):
            y = self.back(x + y)
        return y


def class_attention(
    maps: Float[Tensor, "b c h w"], weight: Float[Tensor, "classes c h w"]
) -> Float[Tensor, "b 1 h w"]:
    """Where classes find their evidence: the mean over classes of their maps, each from 0 to 1.

    Args:
        maps: `[B, C, H, W]`.
        weight: Of the classifier, `[classes, C, H, W]`.

    Returns:
        `[B, 1, H, W]`.
    """
    evidence = torch.einsum("bchw,nchw->bnhw", maps, weight)
    return min_max(evidence).mean(dim=1, keepdim=True)


class RCNA(nn.Module):
    """Convolution, recurrent convolution, attention, one linear layer.

    Args:
        maps: Of every convolution.
        repeats: How often the recurrent convolution is run.
        classes: Expression classes.
        dropout: After each pool.

    Source:
        Xia et al. 2020, IEEE TIP, "Revealing the Invisible with Model and Data Shrinking"; numbers
        of their code as in MEB. The attention is our reading of its description.
    """

    def __init__(self, *, maps: int, repeats: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Sequential(_unit(3, maps, 5, 0), nn.MaxPool2d(2), nn.Dropout(dropout))
        self.recurrent = RecurrentConvolution(maps=maps, repeats=repeats)
        self.pool = nn.Sequential(nn.MaxPool2d(2), nn.Dropout(dropout))
        self.shrink = nn.AdaptiveAvgPool2d(POOLED)
        self.classifier = nn.Linear(maps * POOLED**2, classes)

    def forward(self, picture: Float[Tensor, "b 3 60 60"]) -> Float[Tensor, "b classes"]:
        """Map pictures `[B, 3, 60, 60]` to logits `[B, classes]`."""
        x = self.conv(picture)  # [B, C, 28, 28]
        y = self.shrink(self.pool(self.recurrent(x)))  # [B, C, 5, 5]
        weight = self.classifier.weight.unflatten(1, y.shape[1:])
        return self.classifier((y * class_attention(self.shrink(x), weight)).flatten(1))


def build(settings: RCNASettings) -> OnFlowPicture:
    """RCN-A of its settings."""
    network = RCNA(
        maps=settings.maps,
        repeats=settings.repeats,
        classes=settings.classes,
        dropout=settings.dropout,
    )
    return OnFlowPicture(FlowPicture.of(settings, SIZE), network)


network = Network(
    name="rcn-a",
    source=(
        "Xia et al. 2020 (IEEE TIP), numbers as in MEB. Ours differs: flow from the aligned crop, "
        "strain by the symmetric formula. MEB's forms P, C and F cannot run and are not built."
    ),
    views=PICTURE_VIEWS,
    settings=RCNASettings,
    build=build,
    presets={
        # SGD, 1e-4, momentum 0.9, decay 5e-4, 500 epochs of batches of 32 (R, MEB): 14 steps each.
        "paper": {
            "data": {"flip": False, "random_crop": False},
            "training": {
                "steps": 7000,
                "batch_size": 32,
                "learning_rate": 1e-4,
                "weight_decay": 5e-4,
                "optimiser": "sgd",
                "momentum": 0.9,
            },
        },
        "tiny": {
            "model": {"scaling": "train", "nose_centred": True, "maps": 16},
            "data": {"flip": False, "random_crop": False},
            "training": {
                "steps": 300,
                "batch_size": 32,
                "learning_rate": 3e-3,
                "schedule": "cosine",
            },
        },
    },
)
