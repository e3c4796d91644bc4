"""Warping a frame by a flow: how well the flow explains what moved."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample


def warp(frame: NDArray[np.floating], flow: NDArray[np.floating]) -> NDArray[np.float64]:
    """Take a frame back to the frame before it: `warped(x, y) = frame(x + u, y + v)`.

    What would come from outside the frame is taken from its border.

    Convention:
        `flow` leads from the earlier frame to `frame`, `(u right, v down)` in pixels; pixel
        centres are at integers.

    Args:
        frame: The later frame `[height, width]`.
        flow: `[2, height, width]`.

    Returns:
        `[height, width]`; equal to the earlier frame where the flow is right.

    Raises:
        ValueError: If the two differ in size.

    Source:
        MOL Eq. 11, bilinear sampling.
    """
    height, width = frame.shape
    if flow.shape != (2, height, width):
        raise ValueError(f"flow {flow.shape} for a frame {frame.shape}: must be [2, height, width]")
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    # With `align_corners`, -1 and 1 are the centres of the first and the last pixel.
    x = 2 * (columns + flow[0]) / max(width - 1, 1) - 1
    y = 2 * (rows + flow[1]) / max(height - 1, 1) - 1
    warped = grid_sample(
        torch.from_numpy(np.asarray(frame, dtype=np.float64))[None, None],
        torch.from_numpy(np.stack([x, y], axis=-1))[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    return warped[0, 0].numpy()
