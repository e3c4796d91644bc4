"""Runs beside each other: scores, what was set differently, and whose videos changed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mol_model.config.run_layout import (
    METRICS_NAME,
    PREDICTIONS_NAME,
    SETTINGS_NAME,
    finished_directories,
    runs_in,
)
from mol_model.scoring.documents import Metrics, read_checked
from mol_model.scoring.predictions import VideoPrediction, load_predictions
from mol_model.scoring.scores import ALL_SCORES, SCORES, Score
from mol_model.scoring.uncertainty import compared, holm
from mol_pipeline.contract.documents import Unreadable, a_kind, read_yaml
from mol_pipeline.contract.errors import ManifestError

MUST_AGREE = (
    *("manifest_hash", "label_mapping", "protocol", "folds", "videos", "selection"),
    *("shuffled_labels", "unknown_people"),
)
"""Where runs differ in one of these, their scores are of different things."""


@dataclass(frozen=True)
class Comparison:
    """Runs, the first of which the others are compared with."""

    runs: tuple[str, ...]
    scores: dict[str, list[float | None]]
    """Score -> its value in each run; the mean where a run has several seeds."""
    settings: dict[str, list[Any]]
    """Settings that are not the same in all runs."""
    warnings: tuple[str, ...]
    changes: tuple[dict[str, Any], ...]
    """For each run but the first: videos only one of the two got right; no `p`, and `why`, where
    there is nothing to compare."""

    def document(self) -> dict[str, Any]:
        """One JSON-able object."""
        return {
            "runs": list(self.runs),
            "scores": self.scores,
            "settings": self.settings,
            "warnings": list(self.warnings),
            "changes": list(self.changes),
        }

    def text(self) -> str:
        """A table for a terminal."""
        width = max(12, *(len(name) for name in self.runs)) + 2
        head = "".join(f"{name:>{width}}" for name in self.runs)
        lines = [f"warning: {words}" for words in self.warnings]
        lines.append(f"{'':32}{head}")
        for name, values in self.scores.items():
            cells = "".join(f"{_number(value):>{width}}" for value in values)
            lines.append(f"{_label(name):32}{cells}")
        for name, settings in self.settings.items():
            cells = "".join(f"{value!s:>{width}}" for value in settings)
            lines.append(f"{name:32}{cells}")
        for name, change in zip(self.runs[1:], self.changes, strict=True):
            if change["p"] is None:
                lines.append(f"{name} against {self.runs[0]}: not compared, {change['why']}")
                continue
            lines.append(
                f"{name} against {self.runs[0]}: {change['gained']} videos gained, "
                f"{change['lost']} lost of {change['videos']} in both (McNemar's exact "
                f"p = {change['p']:.3f})"
            )
            if change.get("p_of_people") is not None:
                lines[-1] += (
                    f"; the difference in UF1, people exchanged: p = {change['p_of_people']:.3f}"
                )
        return "\n".join(lines)


def compare_runs(directories: Sequence[Path]) -> Comparison:
    """Compare finished runs with the first of them.

    Raises:
        ManifestError: If a directory holds no finished run.
    """
    metrics = [_read_metrics(path) for path in directories]
    predictions = [_predictions(path) for path in directories]
    first, *others = predictions
    return Comparison(
        runs=tuple(str(path) for path in directories),
        scores=beside(metrics),
        settings=differing([_flat(_read_settings(path)) for path in directories]),
        warnings=tuple(disagreements(metrics)),
        changes=tuple(_corrected([_change(first, other) for other in others])),
    )


def differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Settings that are not the same in all runs, by name, with the value of each run."""
    names = sorted({name for of_run in settings for name in of_run}, key=str)
    values = {name: [of_run.get(name) for of_run in settings] for name in names}
    return {name: row for name, row in values.items() if any(value != row[0] for value in row)}


def beside(metrics: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Scores that any run has, of all folds and then of each that is a result of its own."""
    rows = {score.key: [_score(of_run, score) for of_run in metrics] for score in ALL_SCORES}
    for fold in sorted({fold for of_run in metrics for fold in of_run.get("by_fold", {})}):
        of_fold = [of_run.get("by_fold", {}).get(fold, {}) for of_run in metrics]
        rows |= {
            f"{fold}: {score.key}": [_score(part, score) for part in of_fold]
            for score in ALL_SCORES
        }
    return {name: row for name, row in rows.items() if any(value is not None for value in row)}


def disagreements(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Warnings of that by which the scores are of different things."""
    return [
        f"the runs differ in {key.replace('_', ' ')}: "
        f"{', '.join(str(of_run.get(key)) for of_run in metrics)}"
        for key in MUST_AGREE
        if len({str(of_run.get(key) or None) for of_run in metrics}) > 1
    ]


def _read_metrics(directory: Path) -> dict[str, Any]:
    path, advice = directory / METRICS_NAME, "name finished runs of moltrain"
    try:
        return read_checked(path, Metrics, ManifestError, advice)
    except FileNotFoundError:
        raise ManifestError(f"{path}: is not there; {advice}") from None


def _one_run(directory: Path) -> Path:
    """The run itself, or that of the first of its seeds."""
    return next(iter(runs_in(directory)), directory)


def _read_settings(directory: Path) -> dict[str, Any]:
    """Settings of a run; none of what `moltrain evaluate` wrote."""
    path = _one_run(directory) / SETTINGS_NAME
    try:
        document = read_yaml(path)
    except FileNotFoundError:
        return {}
    except Unreadable as error:
        raise ManifestError(f"{path}: cannot be read as YAML: it {error}") from error
    if not isinstance(document, dict):
        raise ManifestError(f"{path}: holds {a_kind(document)}, settings are a mapping")
    return document


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _score(metrics: Mapping[str, Any], score: Score) -> float | None:
    if metrics.get("spread"):
        spread = metrics["spread"].get(score.key)
        return spread["mean"] if spread else None
    return score.of(metrics)


def _label(name: str) -> str:
    """A score as people read it, with the way that is better."""
    score = SCORES[name.rpartition(": ")[2]]
    return f"{name.replace('_', ' ')} {'↑' if score.better == 'higher' else '↓'}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _predictions(directory: Path) -> list[VideoPrediction]:
    """Predictions of a run, of the first seed where there are several, or of an evaluation."""
    run = _one_run(directory)
    places = finished_directories(run)
    if (run / PREDICTIONS_NAME).is_file():
        places.append(run)
    return [prediction for place in places for prediction in load_predictions(place)]


def _change(before: list[VideoPrediction], after: list[VideoPrediction]) -> dict[str, Any]:
    """Videos that only one of two runs got right, of those that both classified."""
    # A pair of databases may test a video again: then its fold tells the predictions apart.
    by_fold = any(len({video.key for video in run}) < len(run) for run in (before, after))
    old, new = (
        {(*video.key, video.fold if by_fold else ""): video for video in run}
        for run in (before, after)
    )
    shared = old.keys() & new.keys()
    if why := _incomparable(before, after, shared=bool(shared)):
        return {"videos": 0, "gained": 0, "lost": 0, "p": None, "why": why}
    right = [(old[key].is_right, new[key].is_right) for key in shared]
    gained = sum(later and not earlier for earlier, later in right)
    lost = sum(earlier and not later for earlier, later in right)
    found = {"videos": len(shared), "gained": gained, "lost": lost, "p": mcnemar(gained, lost)}
    if by_fold or any(video.units for video in (*before, *after)):
        return found
    classes = len(before[0].probabilities)
    return found | {"p_of_people": compared(before, after, classes)}


def _corrected(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The p-values of the people, by Holm's correction for as many comparisons."""
    values = {
        place: change["p_of_people"]
        for place, change in enumerate(changes)
        if change.get("p_of_people") is not None
    }
    for place, value in holm(values).items():
        changes[place]["p_of_people"] = value
    return changes


def _incomparable(
    before: list[VideoPrediction], after: list[VideoPrediction], *, shared: bool
) -> str:
    """Why the classes of two runs cannot be compared; nothing if they can."""
    runs = {"first": before, "second": after}
    headless = [name for name, run in runs.items() if any(not video.probabilities for video in run)]
    if headless:
        return f"the {' and the '.join(headless)} of the two has no expression head"
    return "" if shared else "no video is in both"


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p-value that gains and losses are equally likely."""
    count = gained + lost
    tail = sum(math.comb(count, k) for k in range(min(gained, lost) + 1)) / 2**count
    return min(1.0, 2 * tail)
