"""Other people's flow and landmark predictors, scored as our own model is.

For the rows of peers in MOL Tables XIV and XV: a function of yours is named as
`module:callable` and gets the frames of held-out videos. Nothing is ever downloaded.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mol_model.clips.batch import ClipBatch
from mol_model.clips.shards import ShardSet
from mol_model.clips.source import ClipSource
from mol_model.clips.sums import clip_statistics
from mol_model.clips.views import AS_STORED, centre_inputs
from mol_model.protocols.folds import Fold
from mol_model.scoring.evaluation import (
    ClipScores,
    finite,
    in_parts,
    pooled_metrics,
    score_clips,
    score_video,
)
from mol_pipeline.contract.errors import ConfigError, TrainingError
from mol_pipeline.contract.shard_layout import ALIGNED_PX

RAFT = "raft"


class FlowPredictor(Protocol):
    """Estimates flow between frames."""

    def __call__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray:
        """Flow `[n, 2, P, P]` from `first` to `second`, both grey `[n, P, P]`.

        Convention: `(u right, v down)` in pixels.
        """


class LandmarkPredictor(Protocol):
    """Estimates 68 landmarks."""

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray:
        """Landmarks `[n, 68, 2]`, `(x, y)` in pixels, of grey frames `[n, P, P]`."""


@dataclass(frozen=True)
class NotInstalled:
    """A predictor that is known by name but is not here."""

    name: str
    how: str
    """What is missing and how to get it."""


def load_predictor(name: str) -> Any:
    """A function named as `module:callable`.

    Raises:
        ConfigError: If the name has another form, or there is no such function.
    """
    module, separator, attribute = name.partition(":")
    if not (separator and module and attribute):
        raise ConfigError(f"predictor {name!r}: must read module:callable, or be {RAFT} for flow")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(
            f"predictor {name!r}: cannot be imported ({error}); put its folder into PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise ConfigError(f"predictor {name!r}: {error}") from error
    if not callable(found):
        raise ConfigError(f"predictor {name!r}: is a {type(found).__name__}, must be callable")
    return found


def load_flow_predictor(name: str, weights: Path | None = None) -> FlowPredictor | NotInstalled:
    """A flow predictor of yours, or `raft` by torchvision with weights from a file.

    Args:
        name: `module:callable` or `raft`.
        weights: For `raft`: state dict of torchvision's `raft_large`.

    Raises:
        ConfigError: See `load_predictor`.
        TrainingError: If the weights cannot be read or belong to another network.
    """
    if name != RAFT:
        return load_predictor(name)
    if importlib.util.find_spec("torchvision") is None:
        return NotInstalled(RAFT, "torchvision is not installed: pip install torchvision")
    if weights is None or not weights.is_file():
        return NotInstalled(
            RAFT,
            f"weights not installed ({weights or 'no file named'}): get the file of "
            "torchvision's Raft_Large_Weights yourself and name it with --weights",
        )
    return _raft(weights)


def _raft(weights: Path) -> FlowPredictor:
    """RAFT (Teed and Deng 2020): three grey channels from -1 to 1, the last of its updates."""
    from torchvision.models.optical_flow import raft_large  # type: ignore[import-not-found]

    model = raft_large(weights=None, progress=False)
    try:
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except Exception as error:  # torch names no narrower type for what a file may hold
        raise TrainingError(f"{weights}: no weights of torchvision's raft_large") from error
    model.eval()

    @torch.inference_mode()
    def predict(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray:
        pair = [
            (torch.from_numpy(frames).float() / 127.5 - 1)[:, None].expand(-1, 3, -1, -1)
            for frames in (first, second)
        ]
        return model(*pair)[-1].numpy()

    return predict


def evaluate_peer(
    data: ShardSet,
    folds: Sequence[Fold],
    *,
    flow: FlowPredictor | None = None,
    landmarks: LandmarkPredictor | None = None,
    crop_px: int = 128,
) -> dict[str, Any]:
    """Score predictors on the test videos of some folds, by the metrics of our own model.

    Args:
        data: The shards.
        folds: Their test videos count; a training part only gives the mean shape.
        flow: Predictor, or None.
        landmarks: Predictor, or None.
        crop_px: Side of the centre crop that predictors see.

    Returns:
        As `pooled_metrics`: AEPE, NME, failure rate and the simple baselines of the predictors
        that are given.

    Raises:
        TrainingError: If a predictor answers in another shape, or no finite numbers.
    """
    source = ClipSource(data, torch.device("cpu"))
    statistics = clip_statistics(source)
    predictions = []
    for fold in folds:
        shape = statistics.mean_landmarks(data.clips_of(fold.train)) - (ALIGNED_PX - crop_px) // 2
        for video in fold.test:
            scores = [
                _score(source.read(clips), shape, crop_px, flow, landmarks)
                for clips in in_parts(data.clips_of([video]))
            ]
            predictions.append(score_video(data, fold, video, ClipScores.joined(scores)))
    return pooled_metrics(predictions, data.classes)


def _score(
    batch: ClipBatch,
    mean_shape: NDArray[np.float64],
    crop_px: int,
    flow: FlowPredictor | None,
    landmarks: LandmarkPredictor | None,
) -> ClipScores:
    """Ask the predictors about some clips."""
    inputs = centre_inputs(batch, AS_STORED, crop_px)
    frames = inputs["frames"].round().to(torch.uint8).numpy()  # [K, t, P, P]
    size = frames.shape[-2:]
    first, second = frames[:, :-1].reshape(-1, *size), frames[:, 1:].reshape(-1, *size)
    estimate = points = None
    if flow is not None:
        found = _checked("flow", flow(first, second), (len(first), 2, *size))
        estimate = found.reshape(inputs["flow"].shape)
    if landmarks is not None:
        found = _checked("landmark", landmarks(second), (len(second), 68, 2))
        points = found.reshape(inputs["landmarks"].shape)
    return score_clips(inputs, mean_shape, flow=estimate, points=points)


def _checked(kind: str, answer: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.asarray(answer, dtype=np.float64)
    if array.shape != shape:
        raise TrainingError(
            f"the {kind} predictor gave an array {array.shape}, asked for were {list(shape)}"
        )
    return finite(kind, array, "a predictor")
