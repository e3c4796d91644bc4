"""What a network is made of and what it costs."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mol_model.config.settings import ModelConfig
from mol_model.networks.mol.build import build_network


def summarise(config: ModelConfig) -> dict[str, Any]:
    """Parameters in all and by part, and the cost of one clip.

    Returns:
        `parameters`, `by_part` (stem, first, second, expression, flow, landmarks),
        `layers` (of one clip, frames and pairs folded into the batch),
        `gflop_per_clip` (a multiplication and an addition count as two) and `config`.
    """
    model = build_network(config)
    clip = torch.zeros(1, config.frames, config.crop_px, config.crop_px)
    by_part = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in model.named_children()
    }
    model.eval()
    layers: list[dict[str, Any]] = []
    hooks = [
        module.register_forward_hook(partial(_note, layers, name))
        for name, module in model.named_modules()
        if next(module.children(), None) is None
    ]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(clip)
    for hook in hooks:
        hook.remove()
    return {
        "parameters": sum(by_part.values()),
        "by_part": by_part,
        "gflop_per_clip": counter.get_total_flops() / 1e9,
        "layers": layers,
        "config": config.model_dump(mode="json"),
    }


def _note(
    layers: list[dict[str, Any]], name: str, module: nn.Module, inputs: object, output: Tensor
) -> None:
    """Forward hook: what a layer is and the shape it gives, in the order of the pass."""
    layers.append(
        {
            "name": name,
            "kind": type(module).__name__,
            "output_shape": list(output.shape),
            "parameters": sum(parameter.numel() for parameter in module.parameters()),
        }
    )
