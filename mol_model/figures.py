"""Figures of the paper from arrays: flow, warped frames (Fig. 5), landmarks (Fig. 6).

They know neither shards nor networks, so that reports and `moltrain predict` share them.
Convention: frames are grey values from 0 to 255, `[t, P, P]`; flow and landmarks are in
pixels of the same frames.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from mol_model.warp import warp
from mol_pipeline.contract.flow_colour import colour_wheel, flow_to_rgb

PEAK_PERCENTILE = 99.0
"""The colour scale of flow and of errors ends at this percentile."""

Array = NDArray[np.floating]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches that needs no screen."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure so that equal figures give equal bytes."""
    figure.savefig(path, format="png", metadata={"Software": None})


def save_picture(picture: NDArray[np.uint8], path: Path) -> None:
    """Write one picture `[height, width, 3]`, red, green, blue, pixel by pixel, as PNG."""
    imsave(path, np.ascontiguousarray(picture), format="png")


def draw_flow(
    frames: Array,
    estimate: Array,
    path: Path,
    *,
    title: str,
    truth: Array | None = None,
    labels: Sequence[str] | None = None,
) -> None:
    """Draw flow in colour under its frames, with the wheel and what its rim means.

    Args:
        frames: `[t, P, P]`.
        estimate: `[t-1, 2, P, P]`.
        path: PNG to write.
        title: Above the figure.
        truth: TV-L1, drawn above the estimate; its scale is then that of both.
        labels: Of the frames; `0 → 1` between them if None.
    """
    pairs = len(estimate)
    names = labels or [str(k) for k in range(pairs + 1)]
    measured = estimate if truth is None else truth
    peak = max(float(np.percentile(np.hypot(measured[:, 0], measured[:, 1]), PEAK_PERCENTILE)), 0.1)
    rows = [("TV-L1", truth), ("", estimate)] if truth is not None else [("", estimate)]
    figure = new_figure(1.5 * (pairs + 1), 0.4 + 1.5 * (1 + len(rows)))
    axes = figure.subplots(1 + len(rows), pairs + 1, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for k in range(pairs):
        axes[0, k].imshow(frames[k], cmap="gray", vmin=0, vmax=255)
        axes[0, k].set_title(f"frame {names[k]}", fontsize=8)
        for row, (name, flow) in enumerate(rows, start=1):
            axes[row, k].imshow(flow_to_rgb(flow[k], peak))
            axes[row, k].set_title(f"{name} {names[k]} → {names[k + 1]}".strip(), fontsize=8)
        if truth is not None:
            error = np.hypot(*(estimate[k] - truth[k])).mean()
            axes[-1, k].set_title(f"EPE {error:.2f} px", fontsize=8)
    axes[0, -1].imshow(colour_wheel())
    axes[0, -1].set_title(f"rim = {peak:.2f} px", fontsize=8)
    figure.suptitle(title, fontsize=10)
    save_png(figure, path)


def draw_warp(
    frames: Array,
    flow: Array,
    path: Path,
    *,
    title: str,
    labels: Sequence[str] | None = None,
) -> None:
    """Draw what a flow explains: both frames, the later one warped back, and the errors.

    Args:
        frames: `[t, P, P]`.
        flow: `[t-1, 2, P, P]` between neighbours.
        path: PNG to write.
        title: Above the figure.
        labels: Of the frames.

    Source:
        MOL Fig. 5 and Eq. 11.
    """
    pairs = len(flow)
    names = labels or [str(k) for k in range(pairs + 1)]
    warped = np.stack([warp(frames[k + 1], flow[k]) for k in range(pairs)])
    before, after = np.abs(frames[1:] - frames[:-1]), np.abs(warped - frames[:-1])
    peak = max(float(np.percentile(before, PEAK_PERCENTILE)), 1.0)
    figure = new_figure(1.5 * pairs + 0.8, 8.4)
    axes = figure.subplots(5, pairs, squeeze=False)
    for k in range(pairs):
        pictures = (frames[k], frames[k + 1], warped[k])
        words = (f"source, frame {names[k]}", f"target, frame {names[k + 1]}", "target, warped")
        for axis, picture, word in zip(axes[:3, k], pictures, words, strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.set_title(word, fontsize=8)
        for axis, error, word in zip(axes[3:, k], (before[k], after[k]), BEFORE_AFTER, strict=True):
            shown = axis.imshow(error, cmap="magma", vmin=0, vmax=peak)
            axis.set_title(f"{word} {error.mean():.2f}", fontsize=8)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.colorbar(shown, ax=axes[3:, :], shrink=0.7, label="grey values")
    figure.suptitle(title, fontsize=10)
    save_png(figure, path)


BEFORE_AFTER = ("error before", "error after")
"""Mean absolute difference to the source frame, of the target and of the target warped."""


def draw_landmark_frames(
    frames: Array,
    estimate: Array,
    path: Path,
    *,
    title: str,
    truth: Array | None = None,
    labels: Sequence[str] | None = None,
) -> None:
    """Draw 68 landmarks over each frame: the estimate red, Dlib's cyan.

    Args:
        frames: `[n, P, P]`, those that the landmarks belong to.
        estimate: `[n, 68, 2]`.
        path: PNG to write.
        title: Above the figure.
        truth: Dlib's `[n, 68, 2]`, or None.
        labels: Of the frames.

    Source:
        MOL Fig. 6.
    """
    figure = new_figure(1.7 * len(frames), 2.4)
    axes = figure.subplots(1, len(frames), squeeze=False)[0]
    size = frames.shape[-1]
    for k, axis in enumerate(axes):
        axis.set_axis_off()
        axis.imshow(frames[k], cmap="gray", vmin=0, vmax=255)
        if truth is not None:
            axis.scatter(*truth[k].T, s=3, c="#00e5ff", linewidths=0)
        axis.scatter(*estimate[k].T, s=3, c="#ff5252", linewidths=0)
        axis.set_xlim(-0.5, size - 0.5)
        axis.set_ylim(size - 0.5, -0.5)
        if labels is not None:
            axis.set_title(f"frame {labels[k]}", fontsize=8)
    figure.suptitle(title, fontsize=10)
    save_png(figure, path)
