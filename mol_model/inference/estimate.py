"""Windows through the network: class, landmarks and flow in pixels of the source frames."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mol_model.clips.batch import ClipBatch
from mol_model.clips.views import Normalisation, centre_inputs
from mol_model.inference.mapping import points_to_source, vectors_to_source
from mol_model.inference.video import PreparedWindow
from mol_model.networks.build import BuiltNetwork
from mol_model.networks.interface import Estimates
from mol_model.networks.precision import exact_products
from mol_model.scoring.evaluation import CLIPS_AT_ONCE, finite, phase_mean
from mol_pipeline.contract.shard_layout import ALIGNED_PX, ARRAYS_BY_NAME

GRID_PX = 8
"""Crop pixels between the places at which the flow is kept for arrows."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClipEstimate:
    """What the network says of one clip, in source pixels; None for a head it does not have."""

    source_frames: NDArray[np.int64]
    """`[t]`, numbers of the source."""
    probabilities: tuple[float, ...]
    """Softmax, or of each action unit its own; empty without an expression head."""
    landmarks: Array | None
    """`[t-1, 68, 2]` of the last t-1 frames."""
    arrow_starts: Array | None
    """`[t-1, G, 2]`, places on a grid in the earlier frame of each pair."""
    arrows: Array | None
    """`[t-1, G, 2]`, flow at these places, to the later frame."""
    motion: Array | None
    """`[t-1]`, mean length of the flow over the whole crop."""


@dataclass(frozen=True)
class ExampleClip:
    """The clip of a window that moves most, in pixels of the crop, for figures."""

    source_frames: NDArray[np.int64]
    """`[t]`"""
    frames: Array
    """`[t, P, P]` grey."""
    dlib: Array
    """`[t-1, 68, 2]` of the last t-1 frames."""
    landmarks: Array | None
    """`[t-1, 68, 2]`, the network's."""
    flow: Array | None
    """`[t-1, 2, P, P]`, the network's."""

    @property
    def motion(self) -> float:
        """Mean length of the flow, crop pixels; 0 without a flow head."""
        return 0.0 if self.flow is None else float(np.hypot(*np.moveaxis(self.flow, 1, 0)).mean())


@dataclass(frozen=True)
class WindowEstimate:
    """What the network says of one window."""

    probabilities: tuple[float, ...]
    """Of the classes or units, averaged over the phases; empty without an expression head."""
    clips: tuple[ClipEstimate, ...]
    example: ExampleClip


def estimate_window(
    model: BuiltNetwork,
    window: PreparedWindow,
    normalisation: Normalisation,
    device: torch.device,
    *,
    several: bool = False,
) -> WindowEstimate:
    """Estimate everything for the clips of a window.

    Args:
        model: In eval mode, on `device`.
        window: Prepared clips of the network's length.
        normalisation: Of the checkpoint.
        device: Where to compute.
        several: Whether several classes may hold at once, as action units do.

    Raises:
        TrainingError: If an estimate is not finite.
    """
    margin = (ALIGNED_PX - model.crop_px) // 2
    logits: list[torch.Tensor] = []
    clips: list[ClipEstimate] = []
    examples: list[ExampleClip] = []
    for first in range(0, len(window.frames), CLIPS_AT_ONCE):
        rows = range(first, min(first + CLIPS_AT_ONCE, len(window.frames)))
        inputs = centre_inputs(_batch(window, rows).to(device), normalisation, model.crop_px)
        with model.testing(), exact_products():
            output = model.estimate(inputs)
        _refuse_non_finite(output, window)
        if output.expression is not None:
            logits.append(output.expression.double().cpu())
        for row, clip in enumerate(rows):
            example = ExampleClip(
                source_frames=window.source_frames[clip],
                frames=_array(inputs["frames"][row]) * normalisation.std + normalisation.mean,
                dlib=window.landmarks[clip, 1:] - margin,
                landmarks=None if output.landmarks is None else _array(output.landmarks[row]),
                flow=None if output.flow is None else _array(output.flow[row]),
            )
            # Only the clip that moves most is kept whole: a long film has thousands.
            examples = [max([*examples, example], key=lambda clip: clip.motion)]
            chances: list[float] = []
            if output.expression is not None:
                chances = phase_mean(logits[-1][row : row + 1], several=several).tolist()
            clips.append(_in_source(example, window.transforms[clip], margin, tuple(chances)))
    return WindowEstimate(
        probabilities=tuple(phase_mean(torch.cat(logits), several=several).tolist())
        if logits
        else (),
        clips=tuple(clips),
        example=examples[0],
    )


def _refuse_non_finite(output: Estimates, window: PreparedWindow) -> None:
    for kind, estimate in zip(output._fields, output, strict=True):
        if estimate is not None:
            finite(kind, _array(estimate), f"frames {window.first} to {window.last}")


def _in_source(
    clip: ExampleClip, transforms: Array, margin: int, probabilities: tuple[float, ...]
) -> ClipEstimate:
    """Estimates in the crop, taken back through the `[t, 2, 3]` transforms of the frames."""
    landmarks = starts = arrows = motion = None
    if clip.landmarks is not None:
        landmarks = np.stack(
            [
                points_to_source(points, transform, margin)
                for points, transform in zip(clip.landmarks, transforms[1:], strict=True)
            ]
        )
    if clip.flow is not None:
        axis = np.arange(GRID_PX // 2, clip.flow.shape[-1], GRID_PX)
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (x, y)
        places = grid.astype(np.float64)
        at_grid = clip.flow[:, :, grid[:, 1], grid[:, 0]]  # [t-1, 2, G]
        starts = np.stack(
            [points_to_source(places, transform, margin) for transform in transforms[:-1]]
        )
        arrows = np.stack(
            [
                vectors_to_source(vectors.T, transform)
                for vectors, transform in zip(at_grid, transforms[:-1], strict=True)
            ]
        )
        scale = np.sqrt(np.abs(np.linalg.det(transforms[:-1, :, :2])))
        motion = np.hypot(clip.flow[:, 0], clip.flow[:, 1]).mean(axis=(-2, -1)) / scale
    return ClipEstimate(clip.source_frames, probabilities, landmarks, starts, arrows, motion)


def _array(tensor: torch.Tensor) -> Array:
    return tensor.double().cpu().numpy()


def _batch(window: PreparedWindow, rows: range) -> ClipBatch:
    """Clips as they come out of a shard; flow and labels, which nobody knows, are zero."""
    part = slice(rows.start, rows.stop)
    count, length = window.frames[part].shape[:2]
    flow = torch.zeros((count, length - 1, 2, ALIGNED_PX, ALIGNED_PX), dtype=torch.float16)
    arrays = {
        "frames": torch.from_numpy(window.frames[part]),
        "flow": flow,
        "landmarks": torch.from_numpy(window.landmarks[part]).float(),
    }
    for name, row in window.keys.items():
        stored = row.astype(ARRAYS_BY_NAME[name].dtype)
        arrays[name] = torch.from_numpy(stored).expand(count, *row.shape[1:])
    return ClipBatch(arrays, torch.zeros(count, dtype=torch.long), tuple(rows))
