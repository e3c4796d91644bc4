"""How a fold begins: the record of its checkpoint, its first weights, what it may continue."""

from collections.abc import Sequence, Set
from pathlib import Path

import torch

from mol_model import distributed
from mol_model.clips.shards import ShardSet
from mol_model.clips.sums import ClipStatistics
from mol_model.clips.views import Normalisation
from mol_model.config.run_layout import another_run
from mol_model.config.settings import RunConfig, settings_that_count
from mol_model.networks.build import BuiltNetwork, build
from mol_model.networks.interface import TrainingPart
from mol_model.networks.precision import set_precision
from mol_model.protocols.folds import Fold, Sample
from mol_model.training.checkpoint import CheckpointRecord
from mol_model.training.seeding import Stream, seed_of, use_deterministic_kernels
from mol_model.training.warm_start import WarmStart
from mol_pipeline.contract.errors import TrainingError
from mol_pipeline.contract.shard_layout import ALIGNED_PX


def first_record(
    data: ShardSet,
    fold: Fold,
    config: RunConfig,
    people: Set[str],
    start: WarmStart | None,
    normalisation: Normalisation,
) -> CheckpointRecord:
    """What the checkpoint of a fold is before its first step.

    Args:
        data: The shards.
        fold: That is trained.
        config: All settings.
        people: Everybody whom the model will know.
        start: What training starts from, if not from weights drawn by the seed.
        normalisation: Of the training part.
    """
    return CheckpointRecord(
        config=config,
        classes=data.classes,
        mapping=data.mapping,
        fold=fold.name,
        step=0,
        mean=normalisation.mean,
        std=normalisation.std,
        manifest_hash=data.manifest_hash,
        synthetic=data.synthetic,
        people=tuple(sorted(people)),
        people_complete=start is None or start.record.knows_people,
        started_from=start.record.tensors_sha256 if start else None,
        selection=config.training.selection,
        preparation=data.preparation,
    )


def differences(found: CheckpointRecord, expected: CheckpointRecord) -> list[str]:
    """In what a checkpoint is of another run or fold than the one that is to continue it."""
    same = {
        "config_hash": settings_that_count(found.config) == settings_that_count(expected.config),
        "manifest_hash": found.manifest_hash == expected.manifest_hash,
        "fold": found.fold == expected.fold,
        "set of people": set(found.people) == set(expected.people),
        "start": found.started_from == expected.started_from,
    }
    return [name for name, alike in same.items() if not alike]


def refuse_other_checkpoint(
    path: Path, found: CheckpointRecord, expected: CheckpointRecord
) -> None:
    """Refuse to continue from a checkpoint of something else.

    Args:
        path: Of the checkpoint, without ending.
        found: What is there.
        expected: What this fold would have begun with.

    Raises:
        TrainingError: If they differ.
    """
    if differs := differences(found, expected):
        raise TrainingError(another_run(f"{path}.json", differs))


def seeded_network(config: RunConfig, fold: str, device: torch.device) -> BuiltNetwork:
    """The network of a fold on a device, its weights drawn by the seed."""
    training = config.training
    use_deterministic_kernels(training.deterministic)
    set_precision(training, device)
    torch.manual_seed(seed_of(training.seed, fold, Stream.WEIGHTS))
    model = build(config).to(device)
    if distributed.count() > 1:
        distributed.join_batch_norms(model.module)
    return model


def start_weights(
    model: BuiltNetwork,
    start: WarmStart | None,
    samples: list[Sample],
    fold: Fold,
    statistics: ClipStatistics,
    clips: Sequence[int],
) -> None:
    """Give a network drawn by the seed its first weights, in place.

    Args:
        model: The network.
        start: Whose weights it takes; without it the network begins with what it may know of
            the training part.
        samples: All videos.
        fold: Nobody whom it tests may be known to `start`.
        statistics: Of all clips, or of those of the training part at least.
        clips: The training part.

    Raises:
        TrainingError: If somebody is, or `start` is of another network.
    """
    if start is not None:
        start.check_people(samples, fold)
        start.load_into(model.module)
    else:
        margin = (ALIGNED_PX - model.crop_px) // 2
        model.begin(
            TrainingPart(
                mean_landmarks=torch.from_numpy(statistics.mean_landmarks(clips) - margin),
                key_flow_scale=torch.from_numpy(statistics.key_flow_scale(clips)),
            )
        )
