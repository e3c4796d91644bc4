"""The true motion of a demo clip, kept beside the database for tests.

A frame pixel `q` shows the point `c` of the neutral canvas, with
`p = head^-1(q)` and `c = p - amplitude * field(p)`.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.shard_layout import ALIGNED_PX
from mol_pipeline.kernels.geometry import apply_transform, invert_transform

COARSENESS = 8
"""The field is kept on every eighth pixel: it is smooth, and it is the one that was used."""


@dataclass(frozen=True)
class Truth:
    """Everything that moved one clip."""

    numbers: NDArray[np.int32]
    """Frame numbers `[t]`."""
    amplitudes: NDArray[np.float64]
    """Peak displacement of the expression in each frame, canvas pixels `[t]`."""
    heads: NDArray[np.float64]
    """Canvas -> frame, `[t, 2, 3]`."""
    coarse_field: NDArray[np.float32]
    """Field with a peak of one pixel on the coarse grid `[height/8, width/8, 2]`."""

    def field(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """The field on the whole canvas, `[height, width, 2]`."""
        return cv2.resize(self.coarse_field, shape[::-1], interpolation=cv2.INTER_LINEAR)

    def to_canvas(self, frame: int, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Neutral canvas points under frame points `[..., 2]`."""
        still = apply_transform(invert_transform(self.heads[frame]), points)
        return still - self.amplitudes[frame] * self._sample(still)

    def from_canvas(self, frame: int, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Frame points that show neutral canvas points; inverse of `to_canvas`."""
        still = np.array(points, dtype=np.float64)
        for _ in range(20):  # contraction: the field changes far less than a pixel per pixel
            still = points + self.amplitudes[frame] * self._sample(still)
        return apply_transform(self.heads[frame], still)

    def _sample(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        # cv2.resize puts coarse sample i at (i + 0.5) * COARSENESS - 0.5.
        grid = ((points + 0.5) / COARSENESS - 0.5).astype(np.float32)
        grid = grid.reshape(len(grid), -1, 2)  # OpenCV: no side beyond 32767
        found = cv2.remap(
            self.coarse_field,
            grid[..., 0],
            grid[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return found.reshape(points.shape).astype(np.float64)


def write_truth(path: Path, truth: Truth) -> None:
    """Keep a clip's truth as npz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        numbers=truth.numbers,
        amplitudes=truth.amplitudes,
        heads=truth.heads,
        coarse_field=truth.coarse_field,
    )


def read_truth(path: Path) -> Truth:
    """Read what `write_truth` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return Truth(**{name: file[name] for name in file.files})


def true_flow(
    truth: Truth,
    first: int,
    second: int,
    first_transform: NDArray[np.float64],
    second_transform: NDArray[np.float64],
) -> NDArray[np.float32]:
    """True flow `[2, 144, 144]` between two aligned frames.

    Args:
        truth: Of the clip.
        first: Index (not number) of the earlier frame.
        second: Index of the later frame.
        first_transform: Source -> aligned of the earlier frame, `[2, 3]`.
        second_transform: Source -> aligned of the later frame.

    Convention: as `mol_pipeline.kernels.flow`.
    """
    axis = np.arange(ALIGNED_PX, dtype=np.float64)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    source = apply_transform(invert_transform(first_transform), grid)
    moved = truth.from_canvas(second, truth.to_canvas(first, source))
    flow = apply_transform(second_transform, moved) - grid
    return np.moveaxis(flow, -1, 0).astype(np.float32)
