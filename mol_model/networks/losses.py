"""Losses of what every network estimates: the expression, or action units."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from mol_model.networks.interface import Estimates, LossRequest

Scalar = Float[Tensor, ""]


def expression_loss(
    logits: Float[Tensor, "b classes"],
    labels: Int[Tensor, " b"],
    class_weights: Float[Tensor, " classes"] | None = None,
) -> Scalar:
    """Cross entropy of `[B, classes]` logits against `[B]` labels (MOL Eq. 6)."""
    return functional.cross_entropy(logits.float(), labels, weight=class_weights)


def unit_loss(
    logits: Float[Tensor, "b units"],
    values: Int[Tensor, "b units"],
    positive_weights: Float[Tensor, " units"] | None = None,
) -> Scalar:
    """Binary cross entropy of `[B, units]` logits, mean over the values that are known.

    Args:
        logits: A unit is shown with the probability `sigmoid(logit)`.
        values: `[B, units]`: 1, 0, and -1 where unknown, which costs nothing.
        positive_weights: `[units]`, what a unit that is shown weighs against one that is not.
    """
    known = values >= 0
    losses = functional.binary_cross_entropy_with_logits(
        logits.float(), values.clamp(min=0).float(), pos_weight=positive_weights, reduction="none"
    )
    return (losses * known).sum() / known.sum().clamp(min=1)


def label_loss(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, weight_of_part: float = 1.0
) -> Scalar:
    """Loss of the logits by the kind of their labels: classes `[B]`, or units `[B, units]`.

    Args:
        logits: `[B, classes]`.
        labels: See `LossRequest.labels`.
        class_weights: See `LossRequest.class_weights`.
        weight_of_part: See `LossRequest.weight_of_part`.
    """
    of_logits = expression_loss if labels.dim() == 1 else unit_loss
    return of_logits(logits, labels, class_weights) * weight_of_part


def expression_alone(estimates: Estimates, request: LossRequest) -> dict[str, Tensor]:
    """The loss of a network that estimates nothing beside the expression.

    Raises:
        ValueError: If there are no logits.
    """
    if estimates.expression is None:
        raise ValueError("a network without logits needs a loss of its own")
    value = label_loss(
        estimates.expression, request.labels, request.class_weights, request.weight_of_part
    )
    return {"total": value, "expression": torch.clone(value)}
