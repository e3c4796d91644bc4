"""How a step changes the weights: rate, class weights, the optimiser."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mol_model.config.settings import TrainingConfig
from mol_model.networks.build import BuiltNetwork
from mol_pipeline.contract.errors import ConfigError


def learning_rate(training: TrainingConfig, step: int) -> float:
    """Rate of a step (from 0); a cosine schedule warms up over a twentieth of the steps."""
    if training.schedule == "constant":
        return training.learning_rate
    if training.schedule == "exponential":
        return float(training.learning_rate * training.decay ** (step // training.decay_every))
    warmup = min(1.0, (step + 1) / max(1, training.steps // 20))
    return training.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * step / training.steps))


def class_weights(labels: Sequence[int], classes: int) -> Tensor:
    """Weights inverse to the clips of each class, with mean 1 over the clips."""
    counts = torch.bincount(torch.tensor(labels), minlength=classes).float()
    return counts.sum() / (classes * counts.clamp(min=1))


def unit_weights(values: Tensor) -> Tensor:
    """Weight of a unit that is shown: clips that lack it over clips that show it.

    Args:
        values: `[clips, units]`: 1, 0, and -1 where unknown.
    """
    return (values == 0).sum(dim=0) / (values == 1).sum(dim=0).clamp(min=1)


def make_optimiser(
    model: nn.Module, training: TrainingConfig, device: torch.device
) -> torch.optim.Optimizer:
    """The optimiser of the settings; AdamW with its decay off is Adam."""
    # A classifier of features has no weights that steps change, and torch refuses an empty list.
    weights = list(model.parameters()) or [nn.Parameter(torch.zeros(1))]
    rate, decay = training.learning_rate, training.weight_decay
    fused = device.type == "cuda"
    match training.optimiser:
        case "adamw":
            return torch.optim.AdamW(weights, lr=rate, weight_decay=decay, fused=fused)
        case "adam":
            return torch.optim.Adam(weights, lr=rate, weight_decay=decay, fused=fused)
        case "sgd":
            momentum = training.momentum
            return torch.optim.SGD(weights, lr=rate, weight_decay=decay, momentum=momentum)


def compiled(model: BuiltNetwork, training: TrainingConfig) -> BuiltNetwork:
    """The network as `torch.compile` makes it, if the settings ask for that.

    Raises:
        ConfigError: If it would be compiled anew for most steps.
    """
    if not training.compile:
        return model
    choice = model.definition.takes_flow_pairs
    if choice and training.flow_pairs is not None and training.flow_pairs > 1:
        raise ConfigError(
            f"training.compile with training.flow_pairs={training.flow_pairs}: the network would "
            "be compiled for every choice of pairs; set training.flow_pairs=null or 1"
        )
    return model.through(torch.compile(model.module))  # type: ignore[arg-type]  # callable
