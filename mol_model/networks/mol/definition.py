"""MOL behind the seam of all networks."""

from torch import Tensor

from mol_model.config.mol import ModelConfig
from mol_model.config.settings import PRESETS
from mol_model.networks.interface import Estimates, LossRequest, Network
from mol_model.networks.mol.build import build_network, has_unused_branch
from mol_model.networks.mol.losses import joint_loss


def _loss(estimates: Estimates, request: LossRequest) -> dict[str, Tensor]:
    """The full loss of Eq. 9, over the flow of the pairs that were asked for."""
    flow, pairs = request.views["flow"], request.flow_pairs
    return joint_loss(
        logits=estimates.expression,
        labels=request.labels,
        flow=estimates.flow,
        true_flow=flow if pairs is None else flow[:, list(pairs)],
        landmarks=estimates.landmarks,
        true_landmarks=request.views["landmarks"],
        flow_weight=request.weights.flow_weight,
        landmark_weight=request.weights.landmark_weight,
        class_weights=request.class_weights,
        weight_of_part=request.weight_of_part,
        release_scaling=request.weights.release_scaling,
    )._asdict()


network = Network(
    name="mol",
    source="Shao et al., MOL, TPAMI 2025; where the authors' release differs: docs/paper-map.md",
    views=("frames",),
    targets=("flow", "landmarks"),
    settings=ModelConfig,
    build=build_network,
    presets={name: preset.model_dump(mode="json") for name, preset in PRESETS.items()},
    loss=_loss,
    takes_flow_pairs=True,
    has_unused=has_unused_branch,
)
"""Its views, its loss, its presets."""
