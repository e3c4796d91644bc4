"""Finished folds of a run: proven to be what this run would have made, and pooled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mol_model.clips.shards import ShardSet
from mol_model.config.names import FOLDS_APART
from mol_model.config.run_layout import CHECKPOINT_NAME, PREDICTIONS_NAME, fold_directory
from mol_model.config.settings import RunConfig
from mol_model.protocols.folds import Fold, protocol_title
from mol_model.scoring.evaluation import pooled_metrics
from mol_model.scoring.predictions import VideoPrediction, load_predictions
from mol_model.scoring.remarks import listed
from mol_model.scoring.units import published_units
from mol_model.training.checkpoint import CheckpointRecord, has_checkpoint, read_record
from mol_model.training.selection import SELECTIONS, people_of_model
from mol_pipeline.contract.errors import TrainingError


def finished_folds(run: Path, folds: Sequence[Fold]) -> list[Fold]:
    """Those folds that have their predictions."""
    return [fold for fold in folds if (fold_directory(run, fold.name) / PREDICTIONS_NAME).is_file()]


def load_finished(
    run: Path,
    folds: Sequence[Fold],
    data: ShardSet,
    config: RunConfig,
    start: CheckpointRecord | None,
) -> list[VideoPrediction]:
    """Predictions of finished folds, each of them proven to be this run's.

    Raises:
        TrainingError: If a fold tested other videos, or its model knows other people than it
            would here.
        ManifestError: If predictions are missing or damaged.
    """
    predictions: list[VideoPrediction] = []
    for fold in folds:
        directory = fold_directory(run, fold.name)
        found = load_predictions(directory)
        wanted = [data.videos[video] for video in fold.test]
        if {prediction.fold for prediction in found} - {fold.name} or sorted(
            (prediction.database, prediction.subject, prediction.clip) for prediction in found
        ) != sorted((video.database, video.subject, video.clip) for video in wanted):
            raise TrainingError(
                f"{directory}: holds predictions of other videos than fold {fold.name} tests; "
                "remove that directory, then run again"
            )
        if has_checkpoint(directory / CHECKPOINT_NAME):
            record = read_record(directory / CHECKPOINT_NAME)
            known = people_of_model(data.samples, fold, config, start)
            if (record.fold, set(record.people)) != (fold.name, known):
                raise TrainingError(
                    f"{directory}: holds a model of fold {record.fold} that was trained on other "
                    f"people than fold {fold.name} is; remove that directory, then run again"
                )
        predictions += found
    return predictions


def run_metrics(
    data: ShardSet,
    config: RunConfig,
    folds: Sequence[Fold],
    predictions: Sequence[VideoPrediction],
    *,
    of: int,
    start: CheckpointRecord | None,
) -> dict[str, Any]:
    """Pooled scores of some folds, and everything that a reader must know of them.

    Args:
        data: The shards.
        config: Settings of the run.
        folds: Whose predictions these are.
        predictions: Of all of them.
        of: Folds of the protocol.
        start: The checkpoint that training started from, if not from weights drawn by the seed.
    """
    metrics = {
        "synthetic": data.synthetic,
        "databases": list(data.databases),
        "protocol": protocol_title(config.protocol.name),
        "folds_of_protocol": of,
        "label_mapping": data.mapping,
        "selection": config.training.selection,
        "selection_means": SELECTIONS[config.training.selection],
        "shuffled_labels": config.data.shuffle_labels,
        "init_from": config.training.init_from,
        "unknown_people": start is not None and not start.knows_people,
        "seed": config.training.seed,
        "manifest_hash": data.manifest_hash,
        "alignment": list(data.alignments),
        **pooled_metrics(predictions, data.classes, by_fold=config.protocol.name in FOLDS_APART),
    }
    metrics |= {"folds": len(folds), "notes": _notes(data, config, folds)}
    published = published_units(metrics) if config.protocol.name == "cd6me" else {}
    return metrics | ({"published": published} if published else {})


def _notes(data: ShardSet, config: RunConfig, folds: Sequence[Fold]) -> list[str]:
    """Classes that a fold cannot learn, and people who are tested by one video."""
    notes = []
    for fold in folds if "expression" in config.model.tasks() else ():
        learned = {place for video in fold.train for place in data.samples[video].holds}
        absent = [name for label, name in enumerate(data.classes) if label not in learned]
        if absent:
            notes.append(f"fold {fold.name}: no training video of class {', '.join(absent)}")
    tested = [data.samples[video].person for fold in folds for video in fold.test]
    single = sorted(person for person in set(tested) if tested.count(person) == 1)
    if single:
        notes.append(f"tested by one video only: {listed(single)}")
    return notes
