"""What a network is made of and what it costs."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from mol_model.build import build_network
from mol_model.config import ModelConfig


def summarise(config: ModelConfig) -> dict[str, Any]:
    """Parameters in all and by part, and the cost of one clip.

    Returns:
        `parameters`, `by_part` (stem, first, second, expression, flow, landmarks),
        `gflop_per_clip` (a multiplication and an addition count as two) and `config`.
    """
    model = build_network(config)
    clip = torch.zeros(1, config.frames, config.crop_px, config.crop_px)
    by_part = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in model.named_children()
    }
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(clip)
    return {
        "parameters": sum(by_part.values()),
        "by_part": by_part,
        "gflop_per_clip": counter.get_total_flops() / 1e9,
        "config": config.model_dump(mode="json"),
    }
