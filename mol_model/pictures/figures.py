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

from mol_model.pictures.sheet import Sheet, coloured, grey
from mol_model.pictures.warp import warp
from mol_pipeline.contract.files import write_figure
from mol_pipeline.contract.flow_colour import colour_wheel, flow_to_rgb

PEAK_PERCENTILE = 99.0
"""The colour scale of flow and of errors ends at this percentile."""

ERROR_COLOURS = "magma"

Array = NDArray[np.floating]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches that needs no screen."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


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
    side = frames.shape[-1]
    sheet = Sheet(2 if truth is None else 3, pairs + 1, side)
    for k in range(pairs):
        sheet.place(0, k, f"frame {names[k]}", grey(frames[k]))
        words = f"{names[k]} → {names[k + 1]}"
        if truth is not None:
            sheet.place(1, k, f"TV-L1 {words}", flow_to_rgb(truth[k], peak))
            words = f"EPE {np.hypot(*(estimate[k] - truth[k])).mean():.2f} px"
        sheet.place(sheet.rows - 1, k, words, flow_to_rgb(estimate[k], peak))
    sheet.place(0, pairs, f"rim = {peak:.2f} px", colour_wheel(min(96, side)))
    write_figure(sheet.draw(title), path)


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
    sheet = Sheet(5, pairs, frames.shape[-1], legend=True)
    for k in range(pairs):
        sheet.place(0, k, f"source, frame {names[k]}", grey(frames[k]))
        sheet.place(1, k, f"target, frame {names[k + 1]}", grey(frames[k + 1]))
        sheet.place(2, k, "target, warped", grey(warped[k]))
        for row, (error, word) in enumerate(zip((before, after), BEFORE_AFTER, strict=True), 3):
            words = f"{word} {error[k].mean():.2f}"
            sheet.place(row, k, words, coloured(error[k], ERROR_COLOURS, peak))
    write_figure(sheet.draw(title, (ERROR_COLOURS, peak, "grey values")), path)


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
    sheet = Sheet(1, len(frames), frames.shape[-1])
    for k, frame in enumerate(frames):
        sheet.place(0, k, "" if labels is None else f"frame {labels[k]}", grey(frame))
        if truth is not None:
            sheet.mark(0, k, truth[k], "#00e5ff")
        sheet.mark(0, k, estimate[k], "#ff5252")
    write_figure(sheet.draw(title), path)
