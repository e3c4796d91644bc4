"""The scores of a run: what each is called, its unit, which way is better, what it must beat.

Pages, cards, texts and tables are drawn from here. Nothing is imported: whoever prints numbers
that are on disk waits for nothing.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Task = Literal["recognition", "action_units", "flow", "landmarks"]
"""Part of a run's metrics, one a head of the network."""

TASK_TITLES: dict[Task, str] = {
    "recognition": "Expression",
    "action_units": "Action units",
    "flow": "Optical flow",
    "landmarks": "Landmarks",
}


@dataclass(frozen=True)
class Trivial:
    """The answer of somebody who looks at no frame."""

    name: str
    part: str
    """Of the metrics, where its score is."""
    key: str


@dataclass(frozen=True)
class Score:
    """One number that says how good a model is."""

    key: str
    """In the metrics and in the documents of the paper's tables."""
    task: Task
    short: str
    """As the field abbreviates it."""
    name: str
    """In tables."""
    title: str
    """In full."""
    factor: float
    """From the number on disk to the unit."""
    unit: str
    decimals: int
    """Of a single run; further ones are noise."""
    better: Literal["higher", "lower"]
    trivial: Trivial | None = None
    """What it is held against."""

    def of(self, metrics: Mapping[str, Any]) -> float | None:
        """Its value in the metrics of a run; None if the model has no such head."""
        part = metrics.get(self.task)
        return part[self.key] if part else None

    def of_trivial(self, metrics: Mapping[str, Any]) -> float | None:
        """The value of the trivial answer, None where there is none."""
        part = metrics.get(self.trivial.part) if self.trivial else None
        return part[self.trivial.key] if self.trivial and part else None

    def interval_of(self, metrics: Mapping[str, Any]) -> str:
        """Its interval over people in words, as `61.2 to 84.0 %`; nothing where there is none."""
        found = (metrics.get("intervals") or {}).get(self.key)
        if not found:
            return ""
        low, high = (f"{self.factor * value:.{self.decimals}f}" for value in found)
        return f"{low} to {high} {self.unit}"

    def text(self, value: float, decimals: int | None = None) -> str:
        """A value in its unit."""
        digits = self.decimals if decimals is None else decimals
        return f"{self.factor * value:.{digits}f} {self.unit}"


def _share(task: Task, trivial: str, key: str, short: str, title: str) -> Score:
    """A share of 1 that is told in percent; the trivial answer's has the same key in its part."""
    least = Trivial(trivial, trivial.replace(" ", "_"), key)
    return Score(key, task, short, short, title, 100, "%", 1, "higher", least)


_recognition = functools.partial(_share, "recognition", "majority class")
_units = functools.partial(_share, "action_units", "always yes")


ALL_SCORES = (
    _recognition("accuracy", "accuracy", "accuracy"),
    _recognition("weighted_f1", "WF1", "weighted F1 (WF1)"),
    _recognition("unweighted_f1", "UF1", "unweighted F1 (UF1)"),
    _recognition("unweighted_average_recall", "UAR", "unweighted average recall (UAR)"),
    _units("f1_over_units", "F1 (AU)", "binary F1, mean over units"),
    _units("f1_over_databases", "F1 (DB)", "binary F1, mean over units, then databases"),
    Score(
        key="average_end_point_error_px",
        task="flow",
        short="AEPE",
        name="AEPE of the flow",
        title="average end-point error",
        factor=1,
        unit="px",
        decimals=3,
        better="lower",
        trivial=Trivial("no motion", "flow", "zero_flow_end_point_error_px"),
    ),
    Score(
        key="inter_ocular_nme_percent",
        task="landmarks",
        short="NME",
        name="NME of the landmarks",
        title="inter-ocular NME",
        factor=1,
        unit="%",
        decimals=2,
        better="lower",
        trivial=Trivial("mean shape", "landmarks", "mean_shape_nme_percent"),
    ),
    Score(
        key="failure_rate_percent_at_10",
        task="landmarks",
        short="FR",
        name="failure rate at 10 %",
        title="failure rate at 10 %",
        factor=1,
        unit="%",
        decimals=2,
        better="lower",
    ),
)

SCORES: dict[str, Score] = {score.key: score for score in ALL_SCORES}
"""By key, in the order in which they are printed."""


def scores_of(task: Task) -> list[Score]:
    """Scores of a head of the network."""
    return [score for score in ALL_SCORES if score.task == task]
