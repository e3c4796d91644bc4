"""How sure a score is: intervals over people, and tests of a difference between two methods.

The videos of a person are alike, so people are drawn, not videos: intervals over videos would be
too narrow. Both work on counts of each person, `[people, classes, classes]`, rows the truth.

Sources: the percentile bootstrap over clusters (Davison and Hinkley 1997, ch. 3.8), the paired
permutation test (Good 2005), Holm's correction (1979). Decision record 0032.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from mol_model.scoring.predictions import VideoPrediction

RESAMPLES = 2000
"""Of people, for an interval."""

LEVEL = 0.95
"""Of an interval."""

MOST_EXCHANGES = 4096
"""Of a permutation test: all of them up to twelve people, else so many by chance."""

RECOGNITION = ("accuracy", "weighted_f1", "unweighted_f1", "unweighted_average_recall")
"""Scores that have an interval, in the order of `recognition_many`."""


def counts_of_people(
    predictions: Sequence[VideoPrediction], classes: int, people: Sequence[tuple[str, str]] = ()
) -> Int64[np.ndarray, "people c c"]:
    """Confusion matrix of each person.

    Args:
        predictions: Of classes.
        classes: Their number.
        people: Database and subject, in the order of the rows; sorted if none are given.
    """
    listed = people or sorted({(video.database, video.subject) for video in predictions})
    rows = {person: row for row, person in enumerate(listed)}
    counts = np.zeros((len(rows), classes, classes), dtype=np.int64)
    for video in predictions:
        counts[rows[video.database, video.subject], video.label, video.predicted] += 1
    return counts


def recognition_many(
    confusions: Int64[np.ndarray, "n c c"],
) -> Float64[np.ndarray, "n 4"]:
    """Accuracy, WF1, UF1, UAR of many confusion matrices, as `scoring.metrics` has them of one."""
    hits = np.diagonal(confusions, axis1=1, axis2=2).astype(np.float64)
    truth, said = confusions.sum(axis=2), confusions.sum(axis=1)
    f1 = np.divide(2 * hits, truth + said, out=np.zeros_like(hits), where=truth + said > 0)
    recall = np.divide(hits, truth, out=np.zeros_like(hits), where=truth > 0)
    videos, present = np.maximum(truth.sum(axis=1), 1), truth > 0
    of_present = np.maximum(present.sum(axis=1), 1)
    return np.stack(
        [
            hits.sum(axis=1) / videos,
            (f1 * truth).sum(axis=1) / videos,
            (f1 * present).sum(axis=1) / of_present,
            (recall * present).sum(axis=1) / of_present,
        ],
        axis=1,
    )


def intervals(
    counts: Int64[np.ndarray, "*seeds people c c"], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Interval of each of `RECOGNITION`, by drawing people with replacement.

    Args:
        counts: Of each person; of several seeds, whose mean score is then meant.
        resamples: How often people are drawn.
        seed: Of the draws: the same counts give the same interval.
    """
    people = counts.shape[-3]
    draws = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), resamples)
    runs = counts.reshape(-1, *counts.shape[-3:])
    scores = np.mean(
        [recognition_many(np.einsum("rp,pij->rij", draws, one)) for one in runs], axis=0
    )
    low, high = np.quantile(scores, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    pairs = zip(low.tolist(), high.tolist(), strict=True)
    return dict(zip(RECOGNITION, pairs, strict=True))


def interval_document(predictions: Sequence[VideoPrediction], classes: int) -> dict[str, Any]:
    """Intervals of a run's pooled predictions, for its metrics; nothing of one person alone."""
    counts = counts_of_people(predictions, classes)
    if len(counts) < 2:
        return {}
    found = {name: list(pair) for name, pair in intervals(counts).items()}
    return {"level": LEVEL, "people": len(counts), "resamples": RESAMPLES, **found}


def permutation_test(
    first: Int64[np.ndarray, "*seeds people c c"],
    second: Int64[np.ndarray, "*seeds people c c"],
    score: str = "unweighted_f1",
    seed: int = 0,
) -> float:
    """Two-sided p-value that two methods are alike, exchanging them person by person.

    Args:
        first: Counts of each person by one method; of several seeds, whose mean score is meant.
        second: By the other, of the same videos and as many seeds.
        score: One of `RECOGNITION`.
        seed: Of the exchanges, where not all are tried.
    """
    people, place = first.shape[-3], RECOGNITION.index(score)
    exact = 2**people <= MOST_EXCHANGES
    if exact:
        exchanged = np.array(list(itertools.product((False, True), repeat=people)))
    else:
        exchanged = np.random.default_rng(seed).random((MOST_EXCHANGES, people)) < 0.5
    signs = np.where(exchanged, -1, 1)
    apart, seen = np.zeros(len(signs)), 0.0
    runs = zip(*(one.reshape(-1, *one.shape[-3:]) for one in (first, second)), strict=True)
    for ours, theirs in runs:
        total, moved = (ours + theirs).sum(axis=0), np.einsum("np,pij->nij", signs, ours - theirs)
        either = [recognition_many((total + sign * moved) // 2)[:, place] for sign in (1, -1)]
        apart += either[0] - either[1]
        both = recognition_many(np.stack([ours.sum(axis=0), theirs.sum(axis=0)]))[:, place]
        seen += both[0] - both[1]
    as_far = np.abs(apart) >= abs(seen) - 1e-12
    return float(as_far.mean() if exact else (1 + as_far.sum()) / (1 + len(as_far)))


def holm(values: Mapping[Any, float]) -> dict[Any, float]:
    """p-values corrected for their number (Holm): each is at most what it may be called."""
    ordered, reached, corrected = sorted(values.items(), key=lambda item: item[1]), 0.0, {}
    for place, (name, value) in enumerate(ordered):
        reached = max(reached, min(1.0, value * (len(ordered) - place)))
        corrected[name] = reached
    return {name: corrected[name] for name in values}


def compared(
    first: Sequence[VideoPrediction], second: Sequence[VideoPrediction], classes: int
) -> float | None:
    """p-value of the difference in UF1 over the videos that both classified; None if none.

    Raises:
        ValueError: If the two disagree about the truth.
    """
    of_first, of_second = ({video.key: video for video in run} for run in (first, second))
    shared = sorted(of_first.keys() & of_second.keys())
    if not shared or len(of_first) != len(first) or len(of_second) != len(second):
        return None
    if any(of_first[key].label != of_second[key].label for key in shared):
        raise ValueError("two runs give a video two true classes")
    people = sorted({(database, subject) for database, subject, _ in shared})
    ours, theirs = (
        counts_of_people([run[key] for key in shared], classes, people)
        for run in (of_first, of_second)
    )
    return permutation_test(ours, theirs)
