"""Test a model on held-out videos; pool what it predicted."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mol_model.clips.shards import ShardSet
from mol_model.clips.source import ClipSource
from mol_model.clips.views import ClipInputs, Normalisation, centre_inputs
from mol_model.networks.build import BuiltNetwork
from mol_model.networks.precision import exact_products
from mol_model.protocols.folds import Fold
from mol_model.scoring.metrics import (
    confusion_matrix,
    end_point_errors,
    failure_rate,
    inter_ocular_nme,
    recognition_scores,
)
from mol_model.scoring.predictions import VideoPrediction
from mol_model.scoring.uncertainty import interval_document
from mol_model.scoring.units import SHOWN, binary_f1, unit_scores
from mol_pipeline.contract.errors import TrainingError
from mol_pipeline.contract.shard_layout import ALIGNED_PX
from mol_pipeline.contract.stopping import refuse_if_asked

CLIPS_AT_ONCE = 8
"""Clips in one pass: what fits beside the large network on a small machine."""


def in_parts(clips: Sequence[int]) -> Iterator[Sequence[int]]:
    """The clips of a video, as many at a time as one pass takes; a long video has hundreds."""
    for first in range(0, len(clips), CLIPS_AT_ONCE):
        yield clips[first : first + CLIPS_AT_ONCE]


@dataclass(frozen=True)
class ClipScores:
    """Estimates for some clips of a video held against the truth."""

    end_point_errors: NDArray[np.float64]
    """`[clips, t-1]`; none if no flow was estimated."""
    zero_flow_errors: NDArray[np.float64]
    """`[clips, t-1]`; none if the network reads no flow of the shards."""
    nme: NDArray[np.float64]
    """`[clips, t-1]`; none if no landmarks were estimated."""
    mean_shape_nme: NDArray[np.float64]
    """`[clips, t-1]`; none if the network reads no landmarks of the shards."""

    @classmethod
    def joined(cls, parts: Sequence["ClipScores"]) -> "ClipScores":
        """Of all clips, from those of its parts in their order."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


def evaluate_fold(
    model: BuiltNetwork,
    source: ClipSource,
    fold: Fold,
    normalisation: Normalisation,
    mean_landmarks: np.ndarray,
) -> list[VideoPrediction]:
    """Predict every test video of a fold; its phases are averaged.

    Args:
        model: On the source's device.
        source: The clips.
        fold: Whose test part is predicted.
        normalisation: Of the training part.
        mean_landmarks: Mean landmarks of the training part `[68, 2]` in the stored frame: the
            estimate of a constant.

    Raises:
        StoppedOnRequest: If a stop signal came; the trained model is saved.
        TrainingError: If an estimate is not finite.
    """
    data = source.data
    shape = mean_landmarks - (ALIGNED_PX - model.crop_px) // 2
    predictions = []
    for video in fold.test:
        refuse_if_asked(f"fold {fold.name} was still being tested, its model is saved")
        scores, logits = [], []
        for clips in in_parts(data.clips_of([video])):
            inputs = centre_inputs(source.read(clips), normalisation, model.crop_px)
            with model.testing(), exact_products():
                output = model.estimate(inputs)
            of = f"fold {fold.name}, video {data.videos[video].key}"
            flow, points = (
                _array("flow", output.flow, of),
                _array("landmarks", output.landmarks, of),
            )
            if output.expression is not None:
                _array("class", output.expression, of)
                logits.append(output.expression)
            scores.append(score_clips(inputs, shape, flow=flow, points=points))
        several = bool(data.samples[video].units)
        probabilities = (
            tuple(phase_mean(torch.cat(logits), several=several).tolist()) if logits else ()
        )
        predictions.append(score_video(data, fold, video, ClipScores.joined(scores), probabilities))
    return predictions


def _array(kind: str, estimate: Tensor | None, of: str) -> np.ndarray | None:
    return None if estimate is None else finite(kind, estimate.double().cpu().numpy(), of)


def finite(kind: str, estimate: np.ndarray, of: str) -> np.ndarray:
    """An estimate; whatever is compared with a number that is not finite says nothing.

    Raises:
        TrainingError: If one is not finite; every class would be the first, for instance.
    """
    if not np.isfinite(estimate).all():
        raise TrainingError(f"{of}: the estimated {kind} holds numbers that are not finite")
    return estimate


def score_clips(
    inputs: ClipInputs,
    mean_shape: np.ndarray,
    *,
    flow: np.ndarray | None = None,
    points: np.ndarray | None = None,
) -> ClipScores:
    """Hold estimates for clips against the truth.

    Args:
        inputs: The clips.
        mean_shape: Constant estimate of the landmarks `[68, 2]` in the crop.
        flow: `[clips, t-1, 2, P, P]`, pixels.
        points: `[clips, t-1, 68, 2]`, pixels of the crop.
    """
    missing = np.empty((0, 1))
    of_flow = of_zero = of_points = of_shape = missing
    if "flow" in inputs:
        true_flow = inputs["flow"].double().cpu().numpy()
        of_flow = missing if flow is None else end_point_errors(flow, true_flow)
        of_zero = end_point_errors(np.zeros_like(true_flow), true_flow)
    if "landmarks" in inputs:
        true_points = inputs["landmarks"].double().cpu().numpy()
        constant = np.broadcast_to(mean_shape, true_points.shape)
        of_points = missing if points is None else inter_ocular_nme(points, true_points)
        of_shape = inter_ocular_nme(constant, true_points)
    return ClipScores(of_flow, of_zero, of_points, of_shape)


def score_video(
    data: ShardSet,
    fold: Fold,
    video: int,
    scores: ClipScores,
    probabilities: tuple[float, ...] = (),
) -> VideoPrediction:
    """What a model said about a video, from the scores of all its clips; NaN for what it lacks.

    Args:
        data: The shards.
        fold: In which it was tested.
        video: Its number.
        scores: Of its clips.
        probabilities: Of each class.
    """
    record = data.videos[video]
    nme = scores.nme.ravel() if scores.nme.size else np.full(1, np.nan)
    return VideoPrediction(
        fold=fold.name,
        database=record.database,
        subject=record.subject,
        clip=record.clip,
        label=data.samples[video].label,
        units=data.samples[video].units,
        probabilities=probabilities,
        end_point_error=_mean(scores.end_point_errors),
        zero_flow_error=_mean(scores.zero_flow_errors),
        nme=tuple(nme.tolist()),
        mean_shape_nme=_mean(scores.mean_shape_nme),
    )


def _mean(errors: NDArray[np.float64]) -> float:
    return float(errors.mean()) if errors.size else float("nan")


def phase_mean(logits: Tensor, *, several: bool = False) -> Tensor:
    """Class probabilities `[classes]` of a video from the logits `[phases, classes]`.

    Args:
        logits: Of each phase.
        several: Whether several classes may hold at once, as action units do.
    """
    each = torch.sigmoid(logits.double()) if several else torch.softmax(logits.double(), dim=-1)
    return each.mean(dim=0)


def recognition_accuracy(
    model: BuiltNetwork,
    source: ClipSource,
    videos: Sequence[int],
    normalisation: Normalisation,
) -> float:
    """Share of videos whose class is right, as `evaluate_fold` would predict it.

    Of action units it is the binary F1, mean over units.
    Only the expression counts, so the flow, most of the cost, is estimated for one pair.
    """
    samples = source.data.samples
    said = []
    for video in videos:
        logits = []
        for clips in in_parts(source.data.clips_of([video])):
            inputs = centre_inputs(source.read(clips), normalisation, model.crop_px)
            with model.testing(), exact_products():
                output = model.estimate(inputs, flow_pairs=[0])
            if output.expression is None:
                raise TrainingError(f"network {model.definition.name}: gives no logits")
            _array("class", output.expression, "/".join(source.data.videos[video].key))
            logits.append(output.expression)
        several = bool(samples[video].units)
        said.append(phase_mean(torch.cat(logits), several=several).cpu().numpy())
    if samples[videos[0]].units:
        truth = np.array([samples[video].units for video in videos])
        return float(binary_f1(truth, np.array(said) >= SHOWN).mean())
    right = [
        int(one.argmax()) == samples[video].label for one, video in zip(said, videos, strict=True)
    ]
    return sum(right) / len(videos)


def pooled_metrics(
    predictions: Sequence[VideoPrediction], classes: Sequence[str], *, by_fold: bool = False
) -> dict[str, Any]:
    """Scores over the predictions of all folds together, with the simple baselines.

    Of no prediction there are no scores.

    Args:
        predictions: Of all folds.
        classes: In the order of the labels.
        by_fold: Give the scores of each of several folds instead: cross-database pairs are
            results of their own, and may test a video twice.
    """
    metrics: dict[str, Any] = {
        "videos": len({video.key for video in predictions}),
        "folds": len({video.fold for video in predictions}),
        "classes": list(classes),
    }
    if by_fold and metrics["folds"] > 1:
        metrics["by_fold"] = _scores_by("fold", predictions, classes)
    elif predictions:
        metrics |= _scores(predictions, classes)
        metrics["by_database"] = _scores_by("database", predictions, classes)
    return metrics


def _scores_by(
    attribute: str, predictions: Sequence[VideoPrediction], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Scores of each database (MOL Table VI), or of each fold (Table VII), by its name."""
    groups: dict[str, list[VideoPrediction]] = {}
    for video in predictions:
        groups.setdefault(getattr(video, attribute), []).append(video)
    return {
        name: {"videos": len(groups[name]), **_scores(groups[name], classes)}
        for name in sorted(groups)
    }


def _scores(predictions: Sequence[VideoPrediction], classes: Sequence[str]) -> dict[str, Any]:
    """Scores of one set of predictions, of each task that its model has.

    Convention: the flow is averaged over videos, the landmarks over frames; the simple answer
    beside a score is averaged as the score is.
    """
    scores: dict[str, Any] = {}
    flows, left_out = _scored(
        predictions, lambda video: (video.end_point_error, video.zero_flow_error)
    )
    if flows:
        scores["flow"] = {
            "average_end_point_error_px": float(
                np.mean([video.end_point_error for video in flows])
            ),
            "zero_flow_end_point_error_px": float(
                np.mean([video.zero_flow_error for video in flows])
            ),
            **left_out,
        }
    shapes, left_out = _scored(predictions, lambda video: (*video.nme, video.mean_shape_nme))
    if shapes:
        nme = np.concatenate([video.nme for video in shapes])
        frames = [len(video.nme) for video in shapes]
        constant = np.average([video.mean_shape_nme for video in shapes], weights=frames)
        scores["landmarks"] = {
            "inter_ocular_nme_percent": float(100 * nme.mean()),
            "mean_shape_nme_percent": float(100 * constant),
            "failure_rate_percent_at_10": float(100 * failure_rate(nme)),
            **left_out,
        }
    if all(video.probabilities and video.units for video in predictions):
        truth = np.array([video.units for video in predictions])
        said = np.array([video.probabilities for video in predictions]) >= SHOWN
        databases = [video.database for video in predictions]
        scores["action_units"] = unit_scores(truth, said, databases, classes)
        scores["always_yes"] = unit_scores(truth, np.ones_like(said), databases, classes)
    elif all(video.probabilities for video in predictions):
        labels = [video.label for video in predictions]
        predicted = [video.predicted for video in predictions]
        confusion = confusion_matrix(labels, predicted, len(classes))
        counts = np.bincount(labels, minlength=len(classes))
        majority = confusion_matrix(labels, np.full(len(labels), counts.argmax()), len(classes))
        scores["recognition"] = recognition_scores(confusion)
        scores["majority_class"] = {
            "class": classes[int(counts.argmax())],
            **recognition_scores(majority),
        }
        scores["confusion"] = confusion.tolist()
        if found := interval_document(predictions, len(classes)):
            scores["intervals"] = found
    return scores


def _scored(
    predictions: Sequence[VideoPrediction], errors: Callable[[VideoPrediction], Sequence[float]]
) -> tuple[list[VideoPrediction], dict[str, list[str]]]:
    """Videos whose errors are finite, and the others by name; nobody where nothing is estimated."""
    kept = [video for video in predictions if np.isfinite(errors(video)).all()]
    names = ["/".join(video.key) for video in predictions if not np.isfinite(errors(video)).all()]
    return kept, {"not_scored": names} if names else {}
