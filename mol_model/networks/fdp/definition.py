"""FDP behind the seam of all networks: how it is built, what it minimises, its presets."""

import torch
from torch import Tensor
from torch.nn import functional

from mol_model.networks.dynamic_image import at_size
from mol_model.networks.fdp.frames import frame_network
from mol_model.networks.fdp.heads import DynamicImageModule, ExpressionModule
from mol_model.networks.fdp.network import FDP
from mol_model.networks.fdp.pooling import (
    ClosedFormPooling,
    LearnedPooling,
    NoPooling,
    order_loss,
)
from mol_model.networks.fdp.settings import FDPSettings, check_settings
from mol_model.networks.interface import Estimates, LossRequest, Network
from mol_model.networks.losses import label_loss


def build(settings: FDPSettings) -> FDP:
    """FDP of its settings.

    Raises:
        ConfigError: If they do not go together.
    """
    check_settings(settings)
    side = settings.side
    pooling: NoPooling | ClosedFormPooling | LearnedPooling
    match settings.pooling:
        case "closed-form":
            pooling = ClosedFormPooling()
        case "learned":
            pooling = LearnedPooling(side**2)
        case "none":
            pooling = NoPooling()
    return FDP(
        frame_rep=frame_network(settings),
        pooling=pooling,
        mer=ExpressionModule(
            side=side,
            depth=settings.frames if settings.pooling == "none" else 1,
            maps=settings.maps,
            hidden=settings.hidden,
            classes=settings.classes if settings.use_expression else 0,
        ),
        dyimg_net=DynamicImageModule(inputs=settings.maps, widths=settings.decoder)
        if settings.use_dynamic_image
        else None,
        side=side,
        frames=settings.frames,
        classify=settings.use_expression,
    )


def dynamic_image_loss(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error over batch and pixels, of images in 0..1 (R).

    Args:
        estimate: `[B, 1, S, S]`, from -1 to 1.
        truth: The view `[B, 1, P, P]`, from -1 to 1.
    """
    error = functional.mse_loss(estimate.float(), at_size(truth.float(), estimate.shape[-1]))
    return error / 4  # 0..1 is half as wide as -1..1


def loss(estimates: Estimates, request: LossRequest) -> dict[str, Tensor]:
    """Cross entropy, the dynamic image's error and the order of learned scores, as far as there.

    Raises:
        TypeError: If the request is not of this network's settings.
    """
    settings = request.settings
    if not isinstance(settings, FDPSettings):
        raise TypeError(f"FDP's loss needs its settings, not {type(settings).__name__}")
    terms: dict[str, Tensor] = {}
    total = torch.zeros((), device=request.labels.device)
    if estimates.expression is not None:
        terms["expression"] = label_loss(
            estimates.expression, request.labels, request.class_weights, request.weight_of_part
        )
        total = total + terms["expression"]
    if estimates.dynamic_image is not None:
        truth = request.views["dynamic-image"]
        terms["dynamic_image"] = dynamic_image_loss(estimates.dynamic_image, truth)
        total = total + settings.dynamic_image_weight * terms["dynamic_image"]
    if estimates.rank_scores is not None:
        terms["order"] = order_loss(estimates.rank_scores.float())
        total = total + settings.rank_weight * terms["order"]
    return {"total": total, **terms}


_PUBLISHED = {
    # Adam, 1e-4, decay 1e-3, batch 36, 500 steps, no augmentation (R).
    "data": {"flip": False, "random_crop": False},
    "training": {
        "steps": 500,
        "batch_size": 36,
        "learning_rate": 1e-4,
        "weight_decay": 1e-3,
        "optimiser": "adam",
    },
}

network = Network(
    name="fdp",
    source=(
        "Shao et al. 2025 (ACM TOMM), arXiv 2509.06015. The paper's attention and rank pooling are "
        "built, which the authors' release does not do; what the paper leaves open: decision "
        "records 0025 to 0027. The release's forward pass: --preset release."
    ),
    views=("frames",),
    targets=("dynamic-image",),
    settings=FDPSettings,
    build=build,
    loss=loss,
    presets={
        "paper": _PUBLISHED,
        "release": {
            "model": {"flavour": "release", "pooling": "none", "blocks": "local"},
            **_PUBLISHED,
        },
        "tiny": {
            "model": {
                "stem": [16, 8, 16, 16],
                "widths": [16, 24, 32, 48],
                "global_widths": [32, 40, 48, 64],
                "depths": [2, 2, 2, 2],
                "attention_step": 8,
                "hidden": 64,
                "decoder": [8, 16, 16, 24, 24],
            },
            "data": {"flip": False, "random_crop": False, "brightness": 0.2},
            "training": {
                "steps": 300,
                "batch_size": 8,
                "learning_rate": 1e-3,
                "schedule": "cosine",
                "clip_gradient": 1.0,
            },
        },
    },
)
