"""Scores. Recognition is scored on predictions pooled over folds, never on fold means.

The functions take predictions, not scores of folds, so a mean over folds cannot be
written with them.
"""

import numpy as np
from jaxtyping import Float, Float64, Int64, Integer
from numpy.typing import ArrayLike

FAILURE_THRESHOLD = 0.10
"""A frame fails when its NME exceeds this (MOL Table XV)."""


def confusion_matrix(
    truth: ArrayLike, predicted: ArrayLike, classes: int
) -> Int64[np.ndarray, "{classes} {classes}"]:
    """Counts `[classes, classes]`, row = truth, column = prediction.

    Raises:
        ValueError: If the two differ in length or a label is out of range.
    """
    rows, columns = np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if rows.shape != columns.shape:
        raise ValueError(f"{rows.shape} labels but {columns.shape} predictions")
    if rows.size and not (min(rows.min(), columns.min()) >= 0):
        raise ValueError("labels start at 0")
    if rows.size and max(rows.max(), columns.max()) >= classes:
        raise ValueError(f"label {max(rows.max(), columns.max())} with {classes} classes")
    return np.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes)


def class_f1(confusion: Integer[np.ndarray, "c c"]) -> Float64[np.ndarray, " c"]:
    """`2 TP / (2 TP + FP + FN)` of each class; 0 where that is 0/0."""
    hits = np.diag(confusion).astype(np.float64)
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    return np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0)


def class_recall(confusion: Integer[np.ndarray, "c c"]) -> Float64[np.ndarray, " c"]:
    """`TP / N` of each class; 0 for a class without samples."""
    hits = np.diag(confusion).astype(np.float64)
    total = confusion.sum(axis=1)
    return np.divide(hits, total, out=np.zeros_like(hits), where=total > 0)


def accuracy(confusion: Integer[np.ndarray, "c c"]) -> float:
    """Share of right predictions (Acc)."""
    return float(np.trace(confusion) / max(confusion.sum(), 1))


def weighted_f1(confusion: Integer[np.ndarray, "c c"]) -> float:
    """WF1: F1 of the classes weighted by their samples (MOL Eq. 10a)."""
    return float(class_f1(confusion) @ confusion.sum(axis=1) / max(confusion.sum(), 1))


def unweighted_f1(confusion: Integer[np.ndarray, "c c"]) -> float:
    """UF1: plain mean of the F1 of the classes that have samples (MOL Eq. 10b)."""
    return _mean_over_present(class_f1(confusion), confusion)


def unweighted_average_recall(confusion: Integer[np.ndarray, "c c"]) -> float:
    """UAR: plain mean of the recalls of the classes that have samples (MOL Eq. 10c)."""
    return _mean_over_present(class_recall(confusion), confusion)


def _mean_over_present(
    values: Float64[np.ndarray, " c"], confusion: Integer[np.ndarray, "c c"]
) -> float:
    present = confusion.sum(axis=1) > 0
    return float(values[present].mean()) if present.any() else 0.0


def recognition_scores(confusion: Integer[np.ndarray, "c c"]) -> dict[str, float]:
    """All four scores of a pooled confusion matrix, as fractions."""
    return {
        "accuracy": accuracy(confusion),
        "weighted_f1": weighted_f1(confusion),
        "unweighted_f1": unweighted_f1(confusion),
        "unweighted_average_recall": unweighted_average_recall(confusion),
    }


def end_point_errors(
    estimate: Float[np.ndarray, "*fields 2 h w"], truth: Float[np.ndarray, "*fields 2 h w"]
) -> Float64[np.ndarray, "*fields"]:
    """Mean end-point error in pixels of each flow field `[..., 2, height, width]` -> `[...]`."""
    difference = np.asarray(estimate, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
    return np.sqrt((difference**2).sum(axis=-3)).mean(axis=(-2, -1))


def average_end_point_error(
    estimate: Float[np.ndarray, "*fields 2 h w"], truth: Float[np.ndarray, "*fields 2 h w"]
) -> float:
    """AEPE in pixels over all fields (MOL Table XIV)."""
    return float(end_point_errors(estimate, truth).mean())


def inter_ocular_nme(
    estimate: Float[np.ndarray, "*frames 68 2"], truth: Float[np.ndarray, "*frames 68 2"]
) -> Float64[np.ndarray, "*frames"]:
    """NME of each frame: mean distance over the inter-ocular distance, `[..., 68, 2]` -> `[...]`.

    The normaliser is the distance between the eye centres (means of 36-41 and 42-47)
    of the truth. A fraction; the paper prints percent (MOL Table XV).
    """
    truth = np.asarray(truth, dtype=np.float64)
    distance = np.linalg.norm(np.asarray(estimate, dtype=np.float64) - truth, axis=-1).mean(axis=-1)
    left, right = truth[..., 36:42, :].mean(axis=-2), truth[..., 42:48, :].mean(axis=-2)
    return distance / np.linalg.norm(right - left, axis=-1)


def failure_rate(nme: Float[np.ndarray, "..."], threshold: float = FAILURE_THRESHOLD) -> float:
    """Share of frames whose NME exceeds the threshold (MOL Table XV)."""
    return float((np.asarray(nme) > threshold).mean())
