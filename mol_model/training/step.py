"""What a step of the optimiser learns from: labels, view, pairs, loss; all follow from the step."""

import torch
from torch import Tensor

from mol_model.clips.batch import ClipBatch
from mol_model.clips.shards import ShardSet
from mol_model.clips.views import ClipInputs, Normalisation, apply_view, random_view
from mol_model.config.settings import RunConfig
from mol_model.networks.build import BuiltNetwork
from mol_model.networks.interface import LossRequest
from mol_model.protocols.folds import Fold
from mol_model.training.seeding import Stream, generator_of
from mol_pipeline.contract.shard_layout import ALIGNED_PX


def training_labels(data: ShardSet, fold: Fold, config: RunConfig) -> Tensor:
    """Label of each clip `[clips]`, or of each of its units `[clips, units]`.

    In the control experiment those of training are permuted.

    The permutation is among the videos of the training part, so that the classes stay as
    frequent as they are. The labels that are tested are never touched.
    """
    labels = torch.tensor([sample.target for sample in data.samples])
    if config.data.shuffle_labels:
        videos = torch.tensor(fold.train)
        generator = generator_of(config.training.seed, fold.name, Stream.SHUFFLED_LABELS)
        labels[videos] = labels[videos[torch.randperm(len(videos), generator=generator)]]
    return labels[torch.tensor(data.video_of_clip)]


def augmented(
    batch: ClipBatch,
    whole: int,
    part: slice,
    normalisation: Normalisation,
    config: RunConfig,
    fold: str,
    step: int,
) -> ClipInputs:
    """The view of a batch that a step sees, drawn for all processes and taken for one.

    Args:
        batch: This process's clips.
        whole: Clips of the step in all processes.
        part: Which of them are this process's.
        normalisation: Of the training part.
        config: All settings.
        fold: Name of the fold.
        step: From 0.
    """
    settings, crop = config.data, config.model.crop_px
    view = random_view(
        whole,
        ALIGNED_PX,
        crop,
        batch.device,
        generator_of(config.training.seed, fold, Stream.VIEW, step),
        random_crop=settings.random_crop,
        flip=settings.flip,
        brightness=settings.brightness,
    )
    return apply_view(batch, view.of(part), normalisation, crop)


def draw_pairs(config: RunConfig, fold: str, step: int) -> list[int] | None:
    """Pairs whose flow a step estimates, each as likely as any other; None for all."""
    count, wanted = config.model.frames - 1, config.training.flow_pairs
    if wanted is None or wanted >= count or "flow" not in config.model.tasks():
        return None
    generator = generator_of(config.training.seed, fold, Stream.FLOW_PAIRS, step)
    return sorted(torch.randperm(count, generator=generator)[:wanted].tolist())


def known_share(values: Tensor, part: slice) -> float:
    """What a part of a batch knows of all that is known: the loss of a part is a mean over it.

    Args:
        values: Of the units of the whole batch `[clips, units]`, -1 where unknown.
        part: Clips of this process.
    """
    known = (values >= 0).sum(dim=1)
    return float(known[part].sum() / known.sum().clamp(min=1))


def model_loss(
    model: BuiltNetwork,
    inputs: ClipInputs,
    config: RunConfig,
    weights: Tensor | None = None,
    flow_pairs: list[int] | None = None,
    weight_of_part: float = 1.0,
) -> dict[str, Tensor]:
    """Forward pass and loss of a batch: `total` and its parts; the flow of some or all pairs."""
    request = LossRequest(
        views=inputs,
        labels=inputs.labels,
        weights=config.loss,
        class_weights=weights,
        weight_of_part=weight_of_part,
        flow_pairs=flow_pairs,
        settings=config.model,
    )
    return model.loss(model.estimate(inputs, flow_pairs), request)
