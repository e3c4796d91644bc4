"""Scores against hand-made cases and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from mol_model.scoring.metrics import (
    accuracy,
    average_end_point_error,
    confusion_matrix,
    failure_rate,
    inter_ocular_nme,
    recognition_scores,
    unweighted_average_recall,
    unweighted_f1,
    weighted_f1,
)


def test_a_case_by_hand():
    # truth 0: 3 of 4 right; truth 1: 1 of 2 right; one 0 taken for 1, one 1 taken for 0.
    confusion = confusion_matrix([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0], 2)
    assert confusion.tolist() == [[3, 1], [1, 1]]
    assert accuracy(confusion) == pytest.approx(4 / 6)
    assert unweighted_f1(confusion) == pytest.approx((6 / 8 + 2 / 4) / 2)
    assert weighted_f1(confusion) == pytest.approx((4 * 6 / 8 + 2 * 2 / 4) / 6)
    assert unweighted_average_recall(confusion) == pytest.approx((3 / 4 + 1 / 2) / 2)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_scores_equal_scikit_learn_over_the_classes_that_have_samples(pairs):
    truth, predicted = map(list, zip(*pairs, strict=True))
    confusion = confusion_matrix(truth, predicted, 4)
    present = sorted(set(truth))
    options = {"labels": present, "zero_division": 0}
    f1 = sklearn_metrics.f1_score
    assert unweighted_f1(confusion) == pytest.approx(
        f1(truth, predicted, average="macro", **options)
    )
    assert weighted_f1(confusion) == pytest.approx(
        f1(truth, predicted, average="weighted", **options)
    )
    recall = sklearn_metrics.recall_score(truth, predicted, average="macro", **options)
    assert unweighted_average_recall(confusion) == pytest.approx(recall)
    assert accuracy(confusion) == pytest.approx(sklearn_metrics.accuracy_score(truth, predicted))


def test_perfect_predictions_score_one_and_order_does_not_matter():
    truth = [0, 1, 2, 2, 1]
    assert set(recognition_scores(confusion_matrix(truth, truth, 3)).values()) == {1.0}
    some = confusion_matrix([0, 1, 2], [1, 1, 2], 3)
    np.testing.assert_array_equal(some, confusion_matrix([2, 0, 1], [2, 1, 1], 3))


def test_labels_out_of_range_and_lists_of_other_length_are_refused():
    with pytest.raises(ValueError, match="label 5 with 3 classes"):
        confusion_matrix([0, 5], [0, 1], 3)
    with pytest.raises(ValueError, match="labels start at 0"):
        confusion_matrix([0, -1], [0, 1], 3)
    with pytest.raises(ValueError, match="predictions"):
        confusion_matrix([0, 1], [0], 3)


def test_end_point_error_is_the_length_of_the_difference():
    truth = np.zeros((2, 2, 3, 4))
    estimate = truth.copy()
    estimate[0, 0], estimate[0, 1] = 3.0, 4.0  # length 5 in one of two fields
    assert average_end_point_error(estimate, truth) == pytest.approx(2.5)


def test_nme_is_relative_to_the_distance_of_the_eye_centres():
    truth = np.zeros((2, 68, 2))
    truth[:, 42:48, 0] = 40.0
    estimate = truth + np.array([3.0, 4.0])
    nme = inter_ocular_nme(estimate, truth)
    np.testing.assert_allclose(nme, 5 / 40)
    assert failure_rate(nme) == 1.0
    assert failure_rate(nme, threshold=0.2) == 0.0
