"""Predictions of held-out videos, in memory and on disk: JSON of a fold, a table of a run.

No torch is needed to read them.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mol_model.config.run_layout import PREDICTIONS_NAME
from mol_model.protocols.units import UNKNOWN
from mol_model.scoring.documents import PREDICTIONS, read_checked
from mol_model.scoring.units import SHOWN
from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.escaping import TableWriter
from mol_pipeline.contract.files import write_atomically


@dataclass(frozen=True)
class VideoPrediction:
    """What a model said about one held-out video; NaN for what it does not estimate."""

    fold: str
    database: str
    subject: str
    clip: str
    label: int
    probabilities: tuple[float, ...]
    """Softmax, or sigmoid of each unit, averaged over the phases of the video."""
    end_point_error: float
    """Mean over pairs, pixels."""
    zero_flow_error: float
    """The same for an estimate of no motion: what there is to win."""
    nme: tuple[float, ...]
    """Inter-ocular NME of every frame, as fractions."""
    mean_shape_nme: float
    """NME of the training part's mean landmarks, mean over the frames: what a constant reaches."""
    units: tuple[int, ...] = ()
    """Where several classes may hold at once, instead of `label`: 1, 0, or -1 if unknown."""

    @property
    def is_right(self) -> bool:
        """Whether its class, or every unit that is known, is as it was said."""
        if not self.units:
            return bool(self.probabilities) and self.predicted == self.label
        pairs = zip(self.units, self.probabilities, strict=True)
        return all((p >= SHOWN) == bool(value) for value, p in pairs if value != UNKNOWN)

    @property
    def predicted(self) -> int:
        """Class with the largest probability."""
        return int(np.argmax(self.probabilities))

    @property
    def key(self) -> tuple[str, str, str]:
        """Whose video it is, over all databases."""
        return self.database, self.subject, self.clip


def save_predictions(directory: Path, predictions: Sequence[VideoPrediction]) -> None:
    """Write the predictions of a fold, by rename."""
    content = json.dumps([_document(video) for video in predictions]).encode()
    write_atomically(directory / PREDICTIONS_NAME, content)


def _document(video: VideoPrediction) -> dict[str, Any]:
    document = asdict(video)
    if not video.units:
        del document["units"]
    return document


def load_predictions(directory: Path) -> list[VideoPrediction]:
    """Read what `save_predictions` wrote.

    Raises:
        ManifestError: If it is not there or damaged.
    """
    predictions = []
    path, advice = directory / PREDICTIONS_NAME, f"remove {directory} and run that fold again"
    try:
        documents = read_checked(path, PREDICTIONS, ManifestError, advice)
    except FileNotFoundError:
        raise ManifestError(f"{path}: is not there; {advice}") from None
    for document in documents:
        for name in ("probabilities", "nme", "units"):
            document[name] = tuple(document.get(name, ()))
        predictions.append(VideoPrediction(**document))
    return predictions


def write_table(
    path: Path, predictions: Sequence[VideoPrediction], classes: Sequence[str], *, synthetic: bool
) -> None:
    """One line of CSV per held-out video, with the probability of each class."""
    text = io.StringIO(newline="")
    writer = TableWriter(text)
    writer.row(
        ["fold", "database", "subject", "clip", "truth", "predicted"]
        + [f"p_{name}" for name in classes]
        + ["end_point_error_px", "inter_ocular_nme", "synthetic"]
    )
    for video in predictions:
        probabilities = [f"{p:.6f}" for p in video.probabilities]
        truth, predicted = _words(video, classes)
        nme = sum(video.nme) / len(video.nme)
        writer.row(
            [video.fold, video.database, video.subject, video.clip, truth, predicted]
            + (probabilities or [""] * len(classes))
            + [f"{video.end_point_error:.4f}", f"{nme:.5f}", "yes" if synthetic else "no"]
        )
    write_atomically(path, text.getvalue().encode())


def _words(video: VideoPrediction, classes: Sequence[str]) -> tuple[str, str]:
    """What holds and what is said to hold; a unit of which nothing is known has a `?`."""
    if not video.units:
        return classes[video.label], classes[video.predicted] if video.probabilities else ""
    signs = {1: "", UNKNOWN: "?"}
    named = zip(classes, video.units, strict=True)
    truth = "+".join(f"{name}{signs[value]}" for name, value in named if value in signs)
    shown = zip(classes, video.probabilities, strict=False)
    return truth, "+".join(name for name, p in shown if p >= SHOWN)
