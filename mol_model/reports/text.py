"""The numbers of a run as lines of text, for a terminal."""

from collections.abc import Mapping
from typing import Any

from mol_model.scoring.remarks import remarks

RECOGNITION = (
    ("accuracy", "accuracy"),
    ("weighted_f1", "WF1"),
    ("unweighted_f1", "UF1"),
    ("unweighted_average_recall", "UAR"),
)
"""Scores by key, and their short names."""


def result_text(metrics: Mapping[str, Any]) -> str:
    """Headline, marks, and scores with their trivial baselines."""
    several = "seeds" in metrics
    mark = "SYNTHETIC data: " if metrics["synthetic"] else ""
    seeds = (
        f"seeds {', '.join(map(str, metrics['seeds']))}" if several else f"seed {metrics['seed']}"
    )
    lines = [
        f"{mark}{metrics['protocol']}, {metrics['folds']} folds, {metrics['videos']} held-out "
        f"videos, model chosen: {metrics['selection']}, {seeds}"
    ]
    if metrics["folds"] < metrics["folds_of_protocol"]:
        lines.append(
            f"  of the protocol's {metrics['folds_of_protocol']} folds: not its result yet"
        )
    if metrics["selection"] == "test-best":
        lines.append("  OPTIMISTIC: the model was chosen on the test folds themselves")
    if metrics["shuffled_labels"]:
        lines.append("  CONTROL: the labels of the training videos were shuffled")
    lines += [f"  {words}" for words in remarks(metrics)]
    if several:
        for name, part in metrics.get("by_fold", {}).items():
            lines += [f"{name}: {part['videos']} videos", *_spread_lines(part["spread"])]
        return "\n".join(lines + _spread_lines(metrics["spread"]))
    lines += _score_lines(metrics)
    for name, part in metrics.get("by_fold", {}).items():
        lines += [f"{name}: {part['videos']} videos", *_score_lines(part)]
    parts = metrics.get("by_database", {})
    for name, part in parts.items() if len(parts) > 1 else ():
        if "recognition" in part:
            got = part["recognition"]
            lines.append(
                f"  {name}: {part['videos']} videos, UF1 {100 * got['unweighted_f1']:.1f} %, "
                f"UAR {100 * got['unweighted_average_recall']:.1f} %"
            )
    return "\n".join(lines)


def _score_lines(scores: Mapping[str, Any]) -> list[str]:
    lines = []
    if "recognition" in scores:
        got, base = scores["recognition"], scores["majority_class"]
        lines += [
            f"  {name:<9}{100 * got[key]:6.1f} %   (majority class {100 * base[key]:.1f} %)"
            for key, name in RECOGNITION
        ]
    if "flow" in scores:
        flow = scores["flow"]
        lines.append(
            f"  AEPE     {flow['average_end_point_error_px']:6.3f} px  "
            f"(no motion {flow['zero_flow_end_point_error_px']:.3f} px)"
        )
    if "landmarks" in scores:
        points = scores["landmarks"]
        lines.append(
            f"  NME      {points['inter_ocular_nme_percent']:6.2f} %   "
            f"(mean shape {points['mean_shape_nme_percent']:.2f} %)"
        )
    return lines


def _spread_lines(spread: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"  {name.replace('_', ' '):<32} {one['mean']:.4f} ± {one['standard_deviation']:.4f} "
        f"({one['least']:.4f} to {one['greatest']:.4f})"
        for name, one in spread.items()
    ]
