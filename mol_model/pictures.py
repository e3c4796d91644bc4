"""Pictures of what a model estimates: flow, landmarks, confusion, curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mol_model.clip_source import ClipSource
from mol_model.evaluation import test_inputs
from mol_model.network import MOL
from mol_model.protocols import Fold
from mol_model.transforms import Normalisation
from mol_pipeline.contract.flow_colour import colour_wheel, flow_to_rgb


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def mark(synthetic: bool) -> str:
    """What stands before the title of every picture made from demo data."""
    return "SYNTHETIC  " if synthetic else ""


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", metadata={"Software": None})


@torch.inference_mode()
def draw_example(
    model: MOL,
    source: ClipSource,
    fold: Fold,
    normalisation: Normalisation,
    directory: Path,
) -> None:
    """Draw `flow.png` and `landmarks.png` of the held-out clip that moves most."""
    model.eval()
    data = source.data
    clips = data.clips_of(fold.test)
    motion = [float(source.read([clip]).flow.float().abs().mean()) for clip in clips]
    clip = clips[int(np.argmax(motion))]
    inputs = test_inputs(source.read([clip]), normalisation, model.crop_px)
    output = model(inputs.frames)
    frames = inputs.frames[0].float().cpu().numpy() * normalisation.std + normalisation.mean
    name = mark(data.synthetic) + f"held out: {data.clip_name(clip)}"
    if output.flow is not None:
        _draw_flow(
            frames,
            inputs.flow[0].float().cpu().numpy(),
            output.flow[0].float().cpu().numpy(),
            name,
            directory / "flow.png",
        )
    if output.landmarks is not None:
        _draw_landmarks(
            frames[1:],
            inputs.landmarks[0].cpu().numpy(),
            output.landmarks[0].float().cpu().numpy(),
            name,
            directory / "landmarks.png",
        )


def _draw_flow(
    frames: np.ndarray, truth: np.ndarray, estimate: np.ndarray, title: str, path: Path
) -> None:
    pairs = len(truth)
    peak = max(float(np.percentile(np.hypot(truth[:, 0], truth[:, 1]), 99)), 0.1)
    figure = _figure(1.5 * (pairs + 1), 4.9)
    axes = figure.subplots(3, pairs + 1)
    for axis in axes.flat:
        axis.set_axis_off()
    for k in range(pairs):
        axes[0, k].imshow(frames[k], cmap="gray", vmin=0, vmax=255)
        axes[1, k].imshow(flow_to_rgb(truth[k], peak))
        axes[2, k].imshow(flow_to_rgb(estimate[k], peak))
        error = np.hypot(*(estimate[k] - truth[k])).mean()
        axes[2, k].set_title(f"EPE {error:.2f} px", fontsize=8)
        axes[1, k].set_title(f"TV-L1 {k} → {k + 1}" if k else "TV-L1 0 → 1", fontsize=8)
    axes[0, 0].set_title("frames", fontsize=8)
    axes[0, -1].imshow(colour_wheel())
    axes[0, -1].set_title(f"rim = {peak:.2f} px", fontsize=8)
    figure.suptitle(f"{title}: TV-L1 above, the network's flow below", fontsize=10)
    _save(figure, path)


def _draw_landmarks(
    frames: np.ndarray, truth: np.ndarray, estimate: np.ndarray, title: str, path: Path
) -> None:
    figure = _figure(1.7 * len(frames), 2.4)
    axes = figure.subplots(1, len(frames), squeeze=False)[0]
    size = frames.shape[-1]
    for k, axis in enumerate(axes):
        axis.set_axis_off()
        axis.imshow(frames[k], cmap="gray", vmin=0, vmax=255)
        axis.scatter(*truth[k].T, s=3, c="#00e5ff", linewidths=0)
        axis.scatter(*estimate[k].T, s=3, c="#ff5252", linewidths=0)
        axis.set_xlim(-0.5, size - 0.5)
        axis.set_ylim(size - 0.5, -0.5)
    figure.suptitle(f"{title}: Dlib cyan, the network red", fontsize=10)
    _save(figure, path)


def draw_confusion(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], path: Path, *, synthetic: bool
) -> None:
    """Pooled confusion matrix: rows are the truth, columns the predictions."""
    counts = np.asarray(confusion)
    figure = _figure(4.6, 4.2)
    axis = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        dark = share[row, column] > 0.5
        axis.text(column, row, count, ha="center", va="center", color="white" if dark else "black")
    axis.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axis.set_yticks(range(len(classes)), classes)
    axis.set_xlabel("predicted")
    axis.set_ylabel("truth")
    axis.set_title(f"{mark(synthetic)}videos, pooled over folds", fontsize=10)
    _save(figure, path)


def draw_curves(
    logs: Mapping[str, Sequence[Mapping[str, float]]], path: Path, *, synthetic: bool
) -> None:
    """The named losses of every fold over the steps."""
    figure = _figure(12, 3.2)
    axes = figure.subplots(1, 4)
    for axis, term in zip(axes, ("total", "expression", "flow", "landmarks"), strict=True):
        for fold, lines in logs.items():
            axis.plot([x["step"] for x in lines], [x[term] for x in lines], lw=0.8, label=fold)
        axis.set_title(f"{mark(synthetic)}training loss: {term}", fontsize=10)
        axis.set_xlabel("step")
        if any(x[term] > 0 for lines in logs.values() for x in lines):
            axis.set_yscale("log")
    _save(figure, path)
