"""Intervals hold the truth at their rate, tests hold their level; both are over people."""

import numpy as np
import pytest

from mol_model.scoring.metrics import recognition_scores
from mol_model.scoring.predictions import VideoPrediction
from mol_model.scoring.uncertainty import (
    RECOGNITION,
    compared,
    counts_of_people,
    holm,
    interval_document,
    intervals,
    permutation_test,
    recognition_many,
)


def people(rng, count, skill=0.55, spread=0.15, videos=8, classes=3):
    """Counts of people who are easier and harder, `[count, classes, classes]`."""
    counts = np.zeros((count, classes, classes), dtype=np.int64)
    for person in counts:
        right = np.clip(rng.normal(skill, spread), 0.02, 0.98)
        for truth in rng.integers(classes, size=videos):
            wrong = (truth + rng.integers(1, classes)) % classes
            person[truth, truth if rng.random() < right else wrong] += 1
    return counts


def predictions_of(counts, name="s"):
    rows = []
    for person, matrix in enumerate(counts):
        for (truth, said), many in np.ndenumerate(matrix):
            for _ in range(many):
                p = tuple(float(k == said) for k in range(matrix.shape[0]))
                rows.append(
                    VideoPrediction(
                        "f", "db", f"{name}{person}", f"{len(rows)}", truth, p, np.nan, 0, (), 0
                    )
                )
    return rows


def test_many_matrices_have_the_scores_of_each():
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 5, (50, 4, 4))
    matrices[:10, 2] = 0  # a class without samples
    matrices[0] = 0
    found = recognition_many(matrices)
    for matrix, row in zip(matrices, found, strict=True):
        expected = recognition_scores(matrix)
        assert row == pytest.approx([expected[name] for name in RECOGNITION])


def test_intervals_hold_the_truth_at_their_rate_and_are_wider_than_over_videos():
    rng = np.random.default_rng(1)
    population = people(rng, 4000).sum(axis=0)
    truth = recognition_scores(population)["unweighted_f1"]
    held = 0
    for _ in range(200):
        low, high = intervals(people(rng, 20), resamples=400)["unweighted_f1"]
        held += low <= truth <= high
    assert 0.86 <= held / 200 <= 0.99

    sample = people(rng, 20, spread=0.4)
    videos = np.stack([np.eye(9, dtype=np.int64)[k].reshape(3, 3) for k in range(9)])
    apart = np.concatenate([np.repeat(videos, matrix.ravel(), axis=0) for matrix in sample])
    wide, narrow = (np.ptp(intervals(counts)["accuracy"]) for counts in (sample, apart))
    assert wide > narrow
    assert intervals(sample) == intervals(sample)


def test_the_permutation_test_holds_its_level_and_sees_a_difference():
    rng = np.random.default_rng(2)
    alike = [permutation_test(people(rng, 10), people(rng, 10)) for _ in range(200)]
    assert np.mean(np.array(alike) < 0.05) <= 0.09
    apart = permutation_test(people(rng, 20, skill=0.8), people(rng, 20, skill=0.45))
    assert apart < 0.01
    same = people(rng, 5)
    assert permutation_test(same, same) == 1.0


def test_a_small_exact_case_by_hand():
    """Two people, one video each: of four exchanges two are as far apart as what was seen."""
    right, wrong = np.array([[[1, 0], [0, 0]]] * 2), np.array([[[0, 1], [0, 0]]] * 2)
    assert permutation_test(right, wrong, "accuracy") == 0.5


def test_holms_correction_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06}
    )
    assert holm({}) == {} and holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}


def test_predictions_are_compared_over_the_videos_of_both():
    rng = np.random.default_rng(3)
    first = predictions_of(people(rng, 6))
    assert compared(first, first, 3) == 1.0
    assert compared(first, predictions_of(people(rng, 2), "other"), 3) is None
    other = [*first[1:]]
    assert compared(first, other, 3) == 1.0
    liar = [VideoPrediction(**{**vars(first[0]), "label": 1 - first[0].label % 2}), *first[1:]]
    if liar[0].label != first[0].label:
        with pytest.raises(ValueError, match="two true classes"):
            compared(first, liar, 3)
    counts = counts_of_people(first, 3)
    assert counts.sum() == len(first) and len(counts) == 6
    document = interval_document(first, 3)
    assert document["people"] == 6 and set(RECOGNITION) <= document.keys()
    assert interval_document(predictions_of(people(rng, 1)), 3) == {}
