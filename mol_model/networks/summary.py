"""What a network is made of and what it costs."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mol_model.config.settings import RunConfig
from mol_model.networks.build import build
from mol_model.networks.interface import ViewName


def view_shape(name: ViewName, frames: int, crop_px: int) -> tuple[int, ...]:
    """Shape of one clip's view, without the batch.

    Args:
        name: Of the view.
        frames: t.
        crop_px: P.
    """
    square = (crop_px, crop_px)
    shapes: dict[ViewName, tuple[int, ...]] = {
        "frames": (frames, *square),
        "flow": (frames - 1, 2, *square),
        "landmarks": (frames - 1, 68, 2),
        "key-frames": (3, *square),
        "key-landmarks": (3, 68, 2),
        "key-flow": (2, 2, *square),
        "dynamic-image": (1, *square),
    }
    return shapes[name]


def summarise(config: RunConfig) -> dict[str, Any]:
    """Parameters in all and by part, and the cost of one clip.

    Returns:
        `network`, `views` (name to shape), `source`, `parameters`, `by_part` (the module's
        children; of MOL stem, first, second, expression, flow, landmarks), `layers` (of one clip,
        frames and pairs folded into the batch), `gflop_per_clip` (a multiplication and an addition
        count as two) and `config`.

    Raises:
        ConfigError: If there is no such network, or settings do not go together.
    """
    network = build(config)
    model, size = network.module, (config.model.frames, config.model.crop_px)
    shapes = {name: view_shape(name, *size) for name in network.definition.views}
    by_part = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in model.named_children()
    }
    own = network.parameter_count() - sum(by_part.values())
    layers: list[dict[str, Any]] = []
    hooks = [
        module.register_forward_hook(partial(_note, layers, name))
        for name, module in model.named_modules()
        if next(module.children(), None) is None
    ]
    with FlopCounterMode(display=False) as counter, network.testing():
        network.estimate({name: _plain_view(shape) for name, shape in shapes.items()})
    for hook in hooks:
        hook.remove()
    return {
        "network": network.definition.name,
        "source": network.definition.source,
        "views": {name: list(shape) for name, shape in shapes.items()},
        "parameters": network.parameter_count(),
        "by_part": by_part | ({"itself": own} if own else {}),
        "gflop_per_clip": counter.get_total_flops() / 1e9,
        "layers": layers,
        "config": config.model.model_dump(mode="json"),
    }


def _plain_view(shape: tuple[int, ...]) -> Tensor:
    """A view of one clip with numbers that differ, so that nothing is divided by zero."""
    return torch.linspace(0, 1, math.prod(shape)).reshape(1, *shape)


def _note(
    layers: list[dict[str, Any]], name: str, module: nn.Module, inputs: object, output: object
) -> None:
    """Forward hook: what a layer is and the shape it gives, in the order of the pass."""
    if not isinstance(output, Tensor):
        return
    layers.append(
        {
            "name": name,
            "kind": type(module).__name__,
            "output_shape": list(output.shape),
            "parameters": sum(parameter.numel() for parameter in module.parameters()),
        }
    )
