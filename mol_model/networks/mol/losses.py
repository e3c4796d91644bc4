"""MOL's losses and their weighted sum. They see tensors, not the network."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from mol_model.networks.losses import Scalar, label_loss


class LossTerms(NamedTuple):
    """The scalar to minimise and its named parts, before weighting; 0 for an absent head."""

    total: Scalar
    expression: Scalar
    flow: Scalar
    landmarks: Scalar


def inter_ocular_distance(landmarks: Float[Tensor, "*frames 68 2"]) -> Float[Tensor, "*frames"]:
    """Distance between the eye centres (means of points 36-41 and 42-47).

    Args:
        landmarks: `[..., 68, 2]`.

    Returns:
        `[...]`, in the unit of the landmarks.
    """
    left = landmarks[..., 36:42, :].mean(dim=-2)
    right = landmarks[..., 42:48, :].mean(dim=-2)
    return torch.linalg.vector_norm(right - left, dim=-1)


def flow_loss(
    estimate: Float[Tensor, "b pairs 2 h w"], truth: Float[Tensor, "b pairs 2 h w"]
) -> Scalar:
    """Mean over pairs of the mean squared error, `[B, t-1, 2, P, P]` (MOL Eq. 7).

    Pairs have equal sizes, so the mean over pairs of the means is the mean over all.
    """
    return functional.mse_loss(estimate.float(), truth.float())


def landmark_loss(
    estimate: Float[Tensor, "b frames 68 2"], truth: Float[Tensor, "b frames 68 2"]
) -> Scalar:
    """Mean absolute offset, per frame over the inter-ocular distance (MOL Eq. 8).

    Args:
        estimate: `[B, t-1, 68, 2]`.
        truth: Likewise; its eyes give the distance.
    """
    offsets = (estimate.float() - truth.float()).abs().sum(dim=-1).mean(dim=-1)  # [B, t-1]
    return (offsets / inter_ocular_distance(truth.float())).mean()


def joint_loss(
    *,
    logits: Float[Tensor, "b classes"] | None,
    labels: Int[Tensor, " b"] | Int[Tensor, "b classes"],
    flow: Float[Tensor, "b pairs 2 h w"] | None,
    true_flow: Float[Tensor, "b pairs 2 h w"],
    landmarks: Float[Tensor, "b frames 68 2"] | None,
    true_landmarks: Float[Tensor, "b frames 68 2"],
    flow_weight: float,
    landmark_weight: float,
    class_weights: Float[Tensor, " classes"] | None = None,
    weight_of_part: float = 1.0,
    release_scaling: bool = False,
) -> LossTerms:
    """Full loss `L_e + flow_weight * L_f + landmark_weight * L_m` (MOL Eq. 9).

    An estimate that is None takes no part. Labels `[B, units]` are of action units, which do not
    exclude each other (`networks.losses.unit_loss`). Where several processes share a batch,
    `weight_of_part` is the class weight of this part over an even share of the whole's. With
    `release_scaling` the terms are those of the authors' release: the flow's mean is divided
    by the pairs of a clip once more, and the landmark term is summed over its frames, not
    averaged (decision 0011).
    """
    zero = true_flow.new_zeros((), dtype=torch.float32)
    expression = zero
    if logits is not None:
        expression = label_loss(logits, labels, class_weights, weight_of_part)
    of_flow = zero if flow is None else flow_loss(flow, true_flow)
    of_landmarks = zero if landmarks is None else landmark_loss(landmarks, true_landmarks)
    if release_scaling:
        pairs = true_landmarks.shape[1]  # t-1, also where the flow of some pairs is left out
        of_flow, of_landmarks = of_flow / pairs, of_landmarks * pairs
    total = expression + flow_weight * of_flow + landmark_weight * of_landmarks
    return LossTerms(total, expression, of_flow, of_landmarks)
