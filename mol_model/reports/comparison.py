"""Runs beside each other: scores, what was set differently, and whose videos changed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mol_model.runs.run import METRICS_NAME
from mol_model.runs.seeds import SCORES
from mol_model.scoring.documents import Metrics, read_checked
from mol_model.scoring.evaluation import VideoPrediction
from mol_model.scoring.predictions import PREDICTIONS_NAME, load_predictions
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
            lines.append(f"{name.replace('_', ' '):32}{cells}")
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
        return "\n".join(lines)


def compare_runs(directories: Sequence[Path]) -> Comparison:
    """Compare finished runs with the first of them.

    Raises:
        ManifestError: If a directory holds no finished run.
    """
    metrics = [_read_metrics(path) for path in directories]
    settings = [_flat(_read_settings(path)) for path in directories]
    names = sorted({key for one in settings for key in one}, key=str)
    differing = {
        name: [one.get(name) for one in settings]
        for name in names
        if any(one.get(name) != settings[0].get(name) for one in settings)
    }
    parts = sorted({fold for one in metrics for fold in one.get("by_fold", {})})
    scores = {score: [_score(one, score) for one in metrics] for score in SCORES} | {
        f"{fold}: {score}": [_score(one.get("by_fold", {}).get(fold, {}), score) for one in metrics]
        for fold in parts
        for score in SCORES
    }
    warnings = [
        f"the runs differ in {key.replace('_', ' ')}: {', '.join(str(m.get(key)) for m in metrics)}"
        for key in MUST_AGREE
        if len({str(one.get(key) or None) for one in metrics}) > 1
    ]
    predictions = [_predictions(path) for path in directories]
    return Comparison(
        runs=tuple(str(path) for path in directories),
        scores={
            name: values for name, values in scores.items() if any(v is not None for v in values)
        },
        settings=differing,
        warnings=tuple(warnings),
        changes=tuple(_change(predictions[0], other) for other in predictions[1:]),
    )


def _read_metrics(directory: Path) -> dict[str, Any]:
    path, advice = directory / METRICS_NAME, "name finished runs of moltrain"
    try:
        return read_checked(path, Metrics, ManifestError, advice)
    except FileNotFoundError:
        raise ManifestError(f"{path}: is not there; {advice}") from None


def _one_run(directory: Path) -> Path:
    """The run itself, or that of the first of its seeds."""
    candidates = (directory, *sorted(directory.glob("seed-*")))
    return next((path for path in candidates if (path / "config.yaml").is_file()), directory)


def _read_settings(directory: Path) -> dict[str, Any]:
    """Settings of a run; none of what `moltrain evaluate` wrote."""
    path = _one_run(directory) / "config.yaml"
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


def _score(metrics: dict[str, Any], score: str) -> float | None:
    if metrics.get("spread"):
        spread = metrics["spread"].get(score)
        return spread["mean"] if spread else None
    part, name = SCORES[score]
    return metrics[part][name] if metrics.get(part) else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _predictions(directory: Path) -> list[VideoPrediction]:
    """Predictions of a run, of the first seed where there are several, or of an evaluation."""
    run = _one_run(directory)
    places = [path.parent for path in sorted(run.glob(f"folds/*/{PREDICTIONS_NAME}"))]
    if (run / PREDICTIONS_NAME).is_file():
        places.append(run)
    return [one for place in places for one in load_predictions(place)]


def _change(before: list[VideoPrediction], after: list[VideoPrediction]) -> dict[str, Any]:
    """Videos that only one of two runs got right, of those that both classified."""
    headless = [name for name, run in (("first", before), ("second", after)) if _no_class(run)]
    # A pair of databases may test a video again: then its fold tells the predictions apart.
    by_fold = any(len({one.key for one in run}) < len(run) for run in (before, after))
    old, new = (
        {(*one.key, one.fold if by_fold else ""): one for one in run} for run in (before, after)
    )
    shared = old.keys() & new.keys()
    why = ""
    if headless:
        why = f"the {' and the '.join(headless)} of the two has no expression head"
    elif not shared:
        why = "no video is in both"
    if why:
        return {"videos": 0, "gained": 0, "lost": 0, "p": None, "why": why}
    right = [(_right(old[key]), _right(new[key])) for key in shared]
    gained = sum(later and not earlier for earlier, later in right)
    lost = sum(earlier and not later for earlier, later in right)
    return {"videos": len(shared), "gained": gained, "lost": lost, "p": mcnemar(gained, lost)}


def _no_class(run: list[VideoPrediction]) -> bool:
    return any(not one.probabilities for one in run)


def _right(one: VideoPrediction) -> bool:
    return one.predicted == one.label


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p-value that gains and losses are equally likely."""
    count = gained + lost
    tail = sum(math.comb(count, k) for k in range(min(gained, lost) + 1)) / 2**count
    return min(1.0, 2 * tail)
