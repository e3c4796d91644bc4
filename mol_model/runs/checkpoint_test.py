"""Test a checkpoint on shards that it was not trained on."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mol_model.clips.shards import ShardSet
from mol_model.clips.source import ClipSource, open_source
from mol_model.clips.sums import clip_statistics
from mol_model.clips.views import Normalisation, arrays_of, release_normalisation
from mol_model.config.run_layout import CONFUSION_NAME, METRICS_NAME, TABLE_NAME
from mol_model.networks.build import BuiltNetwork
from mol_model.pictures.example import draw_confusion, draw_example
from mol_model.protocols.folds import Fold
from mol_model.runs.run import choose_device
from mol_model.scoring.evaluation import evaluate_fold, in_parts, pooled_metrics
from mol_model.scoring.predictions import VideoPrediction, save_predictions, write_table
from mol_model.training.checkpoint import CheckpointRecord, load_model
from mol_model.training.selection import SELECTIONS
from mol_pipeline.contract.errors import ConfigError, TrainingError
from mol_pipeline.contract.files import write_atomically
from mol_pipeline.contract.people import seen_before


def evaluate_checkpoint(
    checkpoint: Path,
    shards: Sequence[Path],
    out: Path,
    *,
    classes: str | None = None,
    device: str = "auto",
    leave_out_seen: bool = False,
) -> dict[str, Any]:
    """Test on every video of the shards; writes tables and pictures, returns the metrics.

    The mean shape beside the landmarks' error is that of the tested videos, since the training
    data need not be at hand: it is a stronger baseline than in a run.

    Args:
        checkpoint: With or without ending.
        shards: Directories with manifests.
        out: For `metrics.json`, `predictions.csv` and pictures.
        classes: Label mapping; that of the checkpoint if None, and for weights of the authors'
            release theirs.
        device: auto, cpu, cuda or cuda:N.
        leave_out_seen: Leave out people whom the checkpoint was trained on, instead of refusing.

    Raises:
        TrainingError: If the checkpoint cannot be read, or was trained on people of the shards.
        ConfigError: If the shards have other classes or another clip length.
    """
    where = choose_device(device)
    model, record = load_model(checkpoint, where)
    mapping = _mapping(record, classes, checkpoint)
    arrays = arrays_of(model.definition.reads)
    data = ShardSet([path.resolve() for path in shards], mapping=mapping, arrays=arrays)
    _check_fits(data, record, checkpoint)
    fold = Fold(name="all", train=(), test=_unseen(data, record, checkpoint, leave_out_seen))
    source = open_source(data, where, "stream")
    tested = data.clips_of(fold.test)
    shape = clip_statistics(source, tested).mean_landmarks(tested)
    predictions: list[VideoPrediction] = []
    for part in _parts(fold, data, record):
        normalisation = _normalisation(source, part, record)
        predictions += evaluate_fold(model, source, part, normalisation, shape)
    metrics = _about(checkpoint, record, data) | pooled_metrics(predictions, data.classes)
    data.check_unchanged()
    out.mkdir(parents=True, exist_ok=True)
    save_predictions(out, predictions)
    write_table(out / TABLE_NAME, predictions, data.classes, synthetic=metrics["synthetic"])
    _draw(source, part, metrics, model, normalisation, out)
    write_atomically(out / METRICS_NAME, (json.dumps(metrics, indent=1) + "\n").encode())
    return metrics


def _about(checkpoint: Path, record: CheckpointRecord, data: ShardSet) -> dict[str, Any]:
    """What a reader must know of the scores: of which model they are, on what."""
    return {
        "synthetic": data.synthetic or record.synthetic,
        "databases": list(data.databases),
        "protocol": f"checkpoint {checkpoint.name} of fold {record.fold}",
        "folds_of_protocol": 1,
        "label_mapping": data.mapping,
        "selection": record.selection,
        "selection_means": SELECTIONS.get(record.selection, record.selection),
        "shuffled_labels": record.config.data.shuffle_labels,
        "init_from": record.config.training.init_from,
        "unknown_people": not record.knows_people,
        "seed": record.config.training.seed,
        "manifest_hash": data.manifest_hash,
        "trained_on_manifest": record.manifest_hash,
    }


def _mapping(record: CheckpointRecord, given: str | None, checkpoint: Path) -> str:
    """Label mapping under which a checkpoint is tested."""
    if record.imported:
        return given or f"release-{len(record.classes)}"
    if given not in {None, record.mapping}:
        raise ConfigError(
            f"--classes {given}: {checkpoint} was trained under mapping {record.mapping}; leave "
            "the option out"
        )
    return record.mapping


def _check_fits(data: ShardSet, record: CheckpointRecord, checkpoint: Path) -> None:
    """Refuse shards of other classes or another clip length; the release names no classes."""
    same = len(data.classes) == len(record.classes) if record.imported else False
    if not (same or data.classes == record.classes) or data.frames != record.config.model.frames:
        raise ConfigError(
            f"{checkpoint}: was trained on clips of {record.config.model.frames} frames and "
            f"classes {', '.join(record.classes)}; the shards have {data.frames} frames and "
            f"{', '.join(data.classes)}"
        )


def _parts(fold: Fold, data: ShardSet, record: CheckpointRecord) -> list[Fold]:
    """The tested videos by what is normalised together: all, or for the release each person's."""
    if not record.imported:
        return [fold]
    people = dict.fromkeys(data.samples[video].person for video in fold.test)
    return [
        replace(fold, test=tuple(v for v in fold.test if data.samples[v].person == person))
        for person in people
    ]


def _normalisation(source: ClipSource, part: Fold, record: CheckpointRecord) -> Normalisation:
    if not record.imported:
        return Normalisation(record.mean, record.std)
    clips = source.data.clips_of(part.test)
    frames = (source.read(few)["frames"] for few in in_parts(clips))
    return release_normalisation(frames, record.config.model.crop_px)


def _unseen(
    data: ShardSet, record: CheckpointRecord, checkpoint: Path, leave_out: bool
) -> tuple[int, ...]:
    """Videos of people whom the checkpoint does not know.

    One that does not say whom it knows is tested on everybody, and marked.
    """
    known = seen_before({sample.person for sample in data.samples}, record.people)
    unseen = tuple(i for i, sample in enumerate(data.samples) if sample.person not in known)
    seen = sorted(known)
    if seen and not leave_out:
        raise TrainingError(
            f"{checkpoint}: was trained on {', '.join(seen[:5])}"
            f"{' and more' if len(seen) > 5 else ''}; a test on them would say nothing: choose "
            "other shards, or --seen-people leave-out"
        )
    if not unseen:
        raise TrainingError(f"{checkpoint}: was trained on everybody in these shards")
    return unseen


def _draw(
    source: ClipSource,
    fold: Fold,
    metrics: dict[str, Any],
    model: BuiltNetwork,
    normalisation: Normalisation,
    out: Path,
) -> None:
    draw_example(model, source, fold, normalisation, out)
    if "confusion" in metrics:
        draw_confusion(
            metrics["confusion"],
            metrics["classes"],
            out / CONFUSION_NAME,
            synthetic=metrics["synthetic"],
        )
