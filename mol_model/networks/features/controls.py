"""Controls: what is recognised without looking, and from little more than how points move."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from mol_model.config.network import NetworkSettings
from mol_model.networks.features.linear import AT_ONCE, NEVER, OnFeatures, classifier_of
from mol_model.networks.flow_picture import PICTURE_VIEWS, patch_means
from mol_model.networks.interface import Network, ViewName

REGIONS: dict[str, tuple[int, ...]] = {
    "outer left brow": (17, 18, 19),
    "inner left brow": (20, 21),
    "inner right brow": (22, 23),
    "outer right brow": (24, 25, 26),
    "bridge of the nose": (27, 28, 29, 30),
    "nostrils": (31, 32, 33, 34, 35),
    "left eye": (36, 37, 38, 39, 40, 41),
    "right eye": (42, 43, 44, 45, 46, 47),
    "left corner of the mouth": (48,),
    "upper lip": (49, 50, 51, 52, 53),
    "right corner of the mouth": (54,),
    "lower lip": (55, 56, 57, 58, 59),
    "chin": (7, 8, 9),
}
"""Points of the 68 whose surroundings are averaged; left and right of the picture."""

MAJORITY_VIEWS: tuple[ViewName, ...] = ("landmarks",)


class MajoritySettings(NetworkSettings):
    """Settings of the answer that is always the same."""


class Majority(nn.Module):
    """Answers how frequent each class is in the training part, whatever it is shown.

    Args:
        classes: Expression classes, or action units.
    """

    logits: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(classes))

    def forward(self, landmarks: Float[Tensor, "b pairs 68 2"]) -> Float[Tensor, "b classes"]:
        """Give the same logits `[B, classes]` to every clip."""
        return self.logits.expand(len(landmarks), -1)

    def fit(self, views: Mapping[str, Sequence[Tensor]], labels: Tensor, seed: int) -> None:
        """Count the labels; of action units those that are known."""
        values = labels.cpu()
        if values.dim() == 1:
            counts = torch.bincount(values, minlength=len(self.logits)).double()
            logits = torch.log(counts / counts.sum())
        else:
            shown, absent = (values == 1).sum(dim=0).double(), (values == 0).sum(dim=0).double()
            logits = torch.where(shown + absent > 0, torch.log(shown) - torch.log(absent), 0)
        self.logits.copy_(logits.clamp(-NEVER, NEVER))


class MeanFlowSettings(NetworkSettings):
    """Settings of the mean flow of regions with a linear classifier."""

    patch_px: int = Field(default=9, ge=1, le=255)
    """Side of the square around a point (A)."""
    c: float = Field(default=1.0, gt=0.0)
    """Of the logistic regression (A)."""


class MeanFlow(nn.Module):
    """Mean flow from onset to apex around the points of each region.

    Args:
        patch_px: Side of the square around a point.
    """

    def __init__(self, *, patch_px: int) -> None:
        super().__init__()
        self.patch_px = patch_px

    def forward(
        self, key_flow: Float[Tensor, "b 2 2 p p"], key_landmarks: Float[Tensor, "b 3 68 2"]
    ) -> Float[Tensor, "b features"]:
        """Map flow and points to `[B, regions * 2]`: regions, then `(u, v)`."""
        around = patch_means(key_flow[:, 0], key_landmarks[:, 0], self.patch_px)  # [B, 68, 2]
        means = [around[:, list(points)].mean(dim=1) for points in REGIONS.values()]
        return torch.stack(means, dim=1).flatten(1)


def build_majority(settings: MajoritySettings) -> Majority:
    """The constant answer, of its settings."""
    return Majority(settings.classes)


def build_mean_flow(settings: MeanFlowSettings) -> OnFeatures:
    """Mean flow and its classifier, of their settings."""
    count = 2 * len(REGIONS)
    return OnFeatures(
        views=PICTURE_VIEWS,
        features=MeanFlow(patch_px=settings.patch_px),
        classifier=classifier_of(settings, count, "logistic", settings.c, standardise=True),
    )


majority = Network(
    name="majority",
    source="A control: the frequencies of the training part, for every clip.",
    views=MAJORITY_VIEWS,
    settings=MajoritySettings,
    build=build_majority,
    presets={"paper": AT_ONCE, "tiny": AT_ONCE},
)

mean_flow = Network(
    name="mean-flow",
    source=(
        f"A control: mean flow from onset to apex of {len(REGIONS)} regions around landmarks, with "
        "logistic regression, each class against the rest."
    ),
    views=PICTURE_VIEWS,
    settings=MeanFlowSettings,
    build=build_mean_flow,
    presets={"paper": AT_ONCE, "tiny": AT_ONCE},
)
