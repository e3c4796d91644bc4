"""Scores of several answers at once: binary F1 of each action unit, as CD6ME averages it.

Sources: Varanka et al., arXiv 2211.11425, and its code (tvaranka/meb): F1 of each unit over the
pooled predictions of all folds, averaged over units; and F1 of each unit in each database, averaged
over units, then over databases. A unit that nobody shows and nobody is said to show has F1 0, as in
scikit-learn. Values that are unknown are left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Integer

from mol_model.protocols.units import CD6ME, UNITS_MAPPING, UNKNOWN

SHOWN = 0.5
"""A unit is said to be shown from this probability on."""

PUBLISHED = {
    "always yes": (17.8, 17.8),
    "LBP-TOP": (12.1, 13.7),
    "MDMO": (27.5, 27.0),
    "flow and SVM": (36.2, 34.9),
    "Off-ApexNet": (39.5, 37.0),
    "STSTNet": (31.8, 31.0),
    "RCN-A": (28.7, 28.4),
    "SSSNet": (40.5, 38.4),
    "ResNet-18, flow": (37.2, 35.2),
    "ResNet-34, flow": (37.1, 34.7),
    "ResNet-18, RGB": (29.5, 28.0),
    "GA-ME": (27.0, 27.6),
    "SCA": (23.6, 22.4),
    "LED": (28.3, 29.3),
    "NMER": (14.5, 11.1),
}
"""CD6ME, percent: F1 over units, F1 over databases; mean of five runs (Varanka et al.)."""


def binary_f1(
    truth: Integer[np.ndarray, "videos units"], shown: Bool[np.ndarray, "videos units"]
) -> Float64[np.ndarray, " units"]:
    """F1 of each unit; 0 where there is nothing to find and nothing is found.

    Args:
        truth: `[videos, units]`, 1, 0 or `UNKNOWN`.
        shown: `[videos, units]`, what is said.
    """
    known = truth != UNKNOWN
    hits = (known & shown & (truth == 1)).sum(axis=0)
    said, there = (known & shown).sum(axis=0), (truth == 1).sum(axis=0)
    total = said + there
    return np.divide(2.0 * hits, total, out=np.zeros(len(hits)), where=total > 0)


def unit_scores(
    truth: Integer[np.ndarray, "videos units"],
    shown: Bool[np.ndarray, "videos units"],
    databases: Sequence[str],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Both averages of the binary F1, and the F1 of each unit.

    Args:
        truth: `[videos, units]`, 1, 0 or `UNKNOWN`.
        shown: `[videos, units]`, what is said.
        databases: `[videos]`, whose video each is.
        classes: Names of the units.
    """
    each = binary_f1(truth, shown)
    of = np.array(databases)
    means = [binary_f1(truth[of == name], shown[of == name]).mean() for name in sorted(set(of))]
    return {
        "f1_over_units": float(each.mean()),
        "f1_over_databases": float(np.mean(means)),
        "f1_of_unit": dict(zip(classes, each.tolist(), strict=True)),
        "shown": dict(zip(classes, (truth == 1).sum(axis=0).tolist(), strict=True)),
        "unknown": int((truth == UNKNOWN).sum()),
    }


def published_units(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What is published of CD6ME, if a run may stand beside it; else nothing.

    That is a run on real clips of all six databases, all folds done, under its own protocol, whose
    models were not chosen by looking at the test.
    """
    may_stand = (
        metrics.get("label_mapping") == UNITS_MAPPING
        and not metrics.get("synthetic")
        and set(metrics.get("databases", ())) == set(CD6ME)
        and set(metrics.get("by_database", ())) == set(CD6ME)
        and metrics.get("folds") == metrics.get("folds_of_protocol") == len(CD6ME)
        and metrics.get("selection") != "test-best"
        and not (metrics.get("shuffled_labels") or metrics.get("unknown_people"))
    )
    if not may_stand:
        return {}
    return {
        name: {"f1_over_units": units / 100, "f1_over_databases": databases / 100}
        for name, (units, databases) in PUBLISHED.items()
    }
