"""Test a model on held-out videos; pool what it predicted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mol_model.data import ClipBatch, ShardSet
from mol_model.metrics import (
    confusion_matrix,
    end_point_errors,
    failure_rate,
    inter_ocular_nme,
    recognition_scores,
)
from mol_model.network import MOL
from mol_model.protocols import Fold
from mol_model.transforms import ClipInputs, Normalisation, apply_view, centre_view
from mol_pipeline.contract.shard_layout import ALIGNED_PX


@dataclass(frozen=True)
class VideoPrediction:
    """What a model said about one held-out video."""

    fold: str
    database: str
    subject: str
    clip: str
    label: int
    probabilities: tuple[float, ...]
    """Softmax, averaged over the phases of the video."""
    end_point_error: float
    """Mean over pairs, pixels."""
    zero_flow_error: float
    """The same for an estimate of no motion: what there is to win."""
    nme: tuple[float, ...]
    """Inter-ocular NME of every frame, as fractions."""
    mean_shape_nme: float
    """Mean NME of the training part's mean landmarks: what a constant reaches."""

    @property
    def predicted(self) -> int:
        """Class with the largest probability."""
        return int(np.argmax(self.probabilities))


def test_inputs(batch: ClipBatch, normalisation: Normalisation, crop_px: int) -> ClipInputs:
    """Centre crop of a batch."""
    view = centre_view(len(batch.frames), ALIGNED_PX, crop_px, batch.frames.device)
    return apply_view(batch, view, normalisation, crop_px)


def mean_training_landmarks(data: ShardSet, clips: Sequence[int], crop_px: int) -> np.ndarray:
    """Mean landmarks `[68, 2]` of some clips in the centre crop: the constant estimate."""
    total = np.zeros((68, 2))
    for clip in clips:
        total += data.read([clip]).landmarks[0, 1:].double().mean(dim=0).numpy()
    return total / len(clips) - (ALIGNED_PX - crop_px) // 2


@torch.inference_mode()
def evaluate_fold(
    model: MOL,
    data: ShardSet,
    fold: Fold,
    normalisation: Normalisation,
    *,
    device: torch.device,
) -> list[VideoPrediction]:
    """Predict every test video of a fold; its phases are averaged."""
    model.eval()
    shape = mean_training_landmarks(data, data.clips_of(fold.train), model.crop_px)
    predictions = []
    for video in fold.test:
        batch = data.read(data.clips_of([video])).to(device)
        inputs = test_inputs(batch, normalisation, model.crop_px)
        output = model(inputs.frames)
        record = data.videos[video]
        truth = inputs.landmarks.double().cpu().numpy()
        flow = inputs.flow.double().cpu().numpy()
        probabilities, error, nme = (), float("nan"), np.full(1, np.nan)
        if output.expression is not None:
            probabilities = tuple(phase_mean(output.expression).tolist())
        if output.flow is not None:
            error = float(end_point_errors(output.flow.double().cpu().numpy(), flow).mean())
        if output.landmarks is not None:
            nme = inter_ocular_nme(output.landmarks.double().cpu().numpy(), truth).ravel()
        predictions.append(
            VideoPrediction(
                fold=fold.name,
                database=record.database,
                subject=record.subject,
                clip=record.clip,
                label=data.samples[video].label,
                probabilities=probabilities,
                end_point_error=error,
                zero_flow_error=float(end_point_errors(np.zeros_like(flow), flow).mean()),
                nme=tuple(nme.tolist()),
                mean_shape_nme=float(
                    inter_ocular_nme(np.broadcast_to(shape, truth.shape), truth).mean()
                ),
            )
        )
    return predictions


def phase_mean(logits: Tensor) -> Tensor:
    """Class probabilities `[classes]` of a video from the logits `[phases, classes]`."""
    return torch.softmax(logits.double(), dim=-1).mean(dim=0)


@torch.inference_mode()
def recognition_accuracy(
    model: MOL,
    data: ShardSet,
    videos: Sequence[int],
    normalisation: Normalisation,
    *,
    device: torch.device,
) -> float:
    """Share of videos whose class is right, as `evaluate_fold` would predict it.

    Only the expression counts, so the flow, most of the cost, is estimated for one pair.
    """
    model.eval()
    right = 0
    for video in videos:
        batch = data.read(data.clips_of([video])).to(device)
        output = model(test_inputs(batch, normalisation, model.crop_px).frames, flow_pairs=[0])
        right += int(phase_mean(output.expression).argmax()) == data.samples[video].label
    return right / len(videos)


def pooled_metrics(
    predictions: Sequence[VideoPrediction], classes: Sequence[str]
) -> dict[str, Any]:
    """Scores over the predictions of all folds together, with the simple baselines."""
    labels = [one.label for one in predictions]
    nme = np.concatenate([one.nme for one in predictions])
    metrics: dict[str, Any] = {
        "videos": len(predictions),
        "folds": len({one.fold for one in predictions}),
        "classes": list(classes),
        "flow": {
            "average_end_point_error_px": float(np.mean([o.end_point_error for o in predictions])),
            "zero_flow_end_point_error_px": float(
                np.mean([o.zero_flow_error for o in predictions])
            ),
        },
        "landmarks": {
            "inter_ocular_nme_percent": float(100 * nme.mean()),
            "mean_shape_nme_percent": float(100 * np.mean([o.mean_shape_nme for o in predictions])),
            "failure_rate_percent_at_10": float(100 * failure_rate(nme)),
        },
    }
    if all(one.probabilities for one in predictions):
        predicted = [one.predicted for one in predictions]
        confusion = confusion_matrix(labels, predicted, len(classes))
        counts = np.bincount(labels, minlength=len(classes))
        majority = confusion_matrix(labels, np.full(len(labels), counts.argmax()), len(classes))
        metrics["recognition"] = recognition_scores(confusion)
        metrics["majority_class"] = {
            "class": classes[int(counts.argmax())],
            **recognition_scores(majority),
        }
        metrics["confusion"] = confusion.tolist()
        metrics["by_database"] = _scores_by_database(predictions, len(classes))
    return metrics


def _scores_by_database(
    predictions: Sequence[VideoPrediction], classes: int
) -> dict[str, dict[str, float]]:
    """Scores of each database from the same pooled predictions (MOL Table VI)."""
    scores = {}
    for database in sorted({one.database for one in predictions}):
        of_it = [one for one in predictions if one.database == database]
        confusion = confusion_matrix(
            [one.label for one in of_it], [one.predicted for one in of_it], classes
        )
        scores[database] = {"videos": len(of_it), **recognition_scores(confusion)}
    return scores


def prediction_to_json(prediction: VideoPrediction) -> dict[str, Any]:
    """JSON form of a prediction; `VideoPrediction(**it)` gives it back."""
    return asdict(prediction)


def prediction_from_json(document: dict[str, Any]) -> VideoPrediction:
    """Undo `prediction_to_json`."""
    document = dict(document)
    for name in ("probabilities", "nme"):
        document[name] = tuple(document[name])
    return VideoPrediction(**document)
