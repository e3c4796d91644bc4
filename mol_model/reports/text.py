"""The numbers of a run as lines of text, for a terminal."""

from collections.abc import Mapping
from typing import Any

from mol_model.scoring.remarks import remarks
from mol_model.scoring.scores import ALL_SCORES, SCORES

OF_A_DATABASE = tuple(
    SCORES[key] for key in ("unweighted_f1", "unweighted_average_recall", "f1_over_units")
)
"""What MEGC 2019 prints of each part of the composite, and CD6ME of each database."""


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
        return "\n".join(lines + _spread_lines(metrics["spread"]) + published_lines(metrics))
    lines += _score_lines(metrics)
    for name, part in metrics.get("by_fold", {}).items():
        lines += [f"{name}: {part['videos']} videos", *_score_lines(part)]
    lines += published_lines(metrics)
    parts = metrics.get("by_database", {})
    for name, part in parts.items() if len(parts) > 1 else ():
        got = [
            f"{score.short} {score.text(value)}"
            for score in OF_A_DATABASE
            if (value := score.of(part)) is not None
        ]
        if got:
            lines.append(f"  {name}: {part['videos']} videos, {', '.join(got)}")
    return "\n".join(lines)


def published_lines(metrics: Mapping[str, Any]) -> list[str]:
    """What is published of the same protocol, where a run may stand beside it."""
    if not metrics.get("published"):
        return []
    names = ("f1_over_units", "f1_over_databases")
    lines = [f"  published ({' / '.join(SCORES[name].short for name in names)}):"]
    for method, values in metrics["published"].items():
        listed = " / ".join(SCORES[name].text(values[name]) for name in names)
        lines.append(f"    {method:<20} {listed}")
    return lines


def _score_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Each score that has a trivial answer, beside it."""
    lines = []
    for score in ALL_SCORES:
        value, trivial = score.of(metrics), score.of_trivial(metrics)
        if value is not None and trivial is not None and score.trivial is not None:
            number = f"{score.factor * value:6.{score.decimals}f} {score.unit:<2}"
            interval = score.interval_of(metrics)
            sure = f"; {interval} at 95 % over people" if interval else ""
            lines.append(
                f"  {score.short:<9}{number}  ({score.trivial.name} {score.text(trivial)}{sure})"
            )
    return lines


def _spread_lines(spread: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"  {name.replace('_', ' '):<32} {runs['mean']:.4f} ± {runs['standard_deviation']:.4f} "
        f"({runs['least']:.4f} to {runs['greatest']:.4f})"
        for name, runs in spread.items()
    ]
