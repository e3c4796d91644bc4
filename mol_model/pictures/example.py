"""Pictures of what a model estimates: flow, landmarks, confusion, curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mol_model.clips.source import ClipSource
from mol_model.clips.views import Normalisation, centre_inputs
from mol_model.config.run_layout import FLOW_NAME, LANDMARKS_NAME, WARP_NAME
from mol_model.networks.build import BuiltNetwork
from mol_model.networks.precision import exact_products
from mol_model.pictures.figures import (
    draw_flow,
    draw_landmark_frames,
    draw_warp,
    new_figure,
)
from mol_model.protocols.folds import Fold
from mol_pipeline.contract.files import write_figure

NO_TERMS = ("step", "learning_rate", "clips_per_second", "waiting")
"""What a line of the metric log has beside the losses."""


def mark(synthetic: bool) -> str:
    """What stands before the title of every picture made from demo data."""
    return "SYNTHETIC  " if synthetic else ""


def draw_example(
    model: BuiltNetwork,
    source: ClipSource,
    fold: Fold,
    normalisation: Normalisation,
    directory: Path,
) -> None:
    """Draw `flow.png`, `warp.png` and `landmarks.png` of the held-out clip that moves most."""
    data = source.data
    clips = data.clips_of(fold.test)
    if not {"frames", "flow"} <= set(data.arrays):
        return  # a network that reads neither estimates neither
    motion = [float(source.read([clip])["flow"].float().abs().mean()) for clip in clips]
    clip = clips[int(np.argmax(motion))]
    inputs = centre_inputs(source.read([clip]), normalisation, model.crop_px)
    with model.testing(), exact_products():
        output = model.estimate(inputs)
    frames = inputs["frames"][0].float().cpu().numpy() * normalisation.std + normalisation.mean
    name = mark(data.synthetic) + f"held out: {data.clip_name(clip)}"
    if output.flow is not None:
        flow = output.flow[0].float().cpu().numpy()
        draw_flow(
            frames,
            flow,
            directory / FLOW_NAME,
            title=f"{name}: TV-L1 above, the network's flow below",
            truth=inputs["flow"][0].float().cpu().numpy(),
        )
        draw_warp(
            frames, flow, directory / WARP_NAME, title=f"{name}: warped by the network's flow"
        )
    if output.landmarks is not None:
        draw_landmark_frames(
            frames[1:],
            output.landmarks[0].float().cpu().numpy(),
            directory / LANDMARKS_NAME,
            title=f"{name}: Dlib cyan, the network red",
            truth=inputs["landmarks"][0].cpu().numpy(),
        )


def draw_confusion(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], path: Path, *, synthetic: bool
) -> None:
    """Pooled confusion matrix: rows are the truth, columns the predictions."""
    counts = np.asarray(confusion)
    figure = new_figure(4.6, 4.2)
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
    write_figure(figure, path)


def terms_of(logs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    """The named losses that a log has, `total` first."""
    lines = next((lines for lines in logs.values() if lines), ())
    return [name for name in lines[0] if name not in NO_TERMS] if lines else ["total"]


def draw_curves(
    logs: Mapping[str, Sequence[Mapping[str, float]]], path: Path, *, synthetic: bool
) -> None:
    """The named losses of every fold over the steps."""
    figure = new_figure(12, 3.2)
    terms = terms_of(logs)
    axes = figure.subplots(1, len(terms), squeeze=False)[0]
    for axis, term in zip(axes, terms, strict=True):
        for fold, lines in logs.items():
            axis.plot([x["step"] for x in lines], [x[term] for x in lines], lw=0.8, label=fold)
        axis.set_title(f"{mark(synthetic)}training loss: {term}", fontsize=10)
        axis.set_xlabel("step")
        if any(x[term] > 0 for lines in logs.values() for x in lines):
            axis.set_yscale("log")
    write_figure(figure, path)
