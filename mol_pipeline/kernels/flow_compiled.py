"""TV-L1 as OpenCV solves it, with compiled loops: the same bytes in a ninth of the time.

What OpenCV offers as functions of its own (resizing, looking up, the median) is called there: what
the processor or a version changes in them, it changes in both solvers.
"""

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.config import FlowConfig
from mol_pipeline.kernels import flow_sweeps as sweeps

SMALLEST_PX = 16
"""A scale with a shorter side is left out, but for the first."""

Plane = NDArray[np.float32]


class CompiledSolver:
    """One solver for one thread: it keeps its planes for the next pair."""

    def __init__(self, settings: FlowConfig) -> None:
        self._settings = settings
        self._size: tuple[int, ...] = ()
        self._scales: list[_Scale] = []
        self.work = 0
        """Pixels times inner iterations of all pairs so far."""

    def __call__(self, reference: NDArray[np.uint8], moving: NDArray[np.uint8]) -> Plane:
        """Flow `[2, height, width]` of a pair of pictures `[height, width]`."""
        if reference.shape != self._size:
            self._scales = _scales(reference.shape, self._settings)
            self._size = reference.shape
        scales = self._scales
        scales[0].take(reference, moving)
        for finer, coarser in itertools.pairwise(scales):
            coarser.shrink(finer)
        scales[-1].flow[:] = 0
        scales[-1].solve()
        for coarser, finer in itertools.pairwise(reversed(scales)):
            finer.start_from(coarser)
            finer.solve()
        self.work = sum(scale.work for scale in scales)
        return scales[0].flow.copy()


class _Scale:
    """One scale of the pyramid."""

    def __init__(self, height: int, width: int, settings: FlowConfig) -> None:
        self._settings = settings
        self._width = width
        stride = sweeps.stride(width)
        self._planes = np.zeros((sweeps.PLANES, 1 + height, stride), np.float32)
        self._inside = self._planes[:, 1:, 1 : width + 1]
        self.flow = self._inside[sweeps.U1 : sweeps.U2 + 1]
        self.work = 0
        area = height * width
        self._limit = np.float32(settings.epsilon * settings.epsilon * area)
        self._reach = np.float32(settings.attachment * settings.tightness)
        self._theta = np.float32(settings.tightness)
        self._taut = np.float32(settings.tau / settings.tightness)

    def take(self, reference: NDArray[np.uint8], moving: NDArray[np.uint8]) -> None:
        """Take the pair of pictures."""
        self._inside[sweeps.I0] = reference
        self._inside[sweeps.I1] = moving

    def shrink(self, finer: "_Scale") -> None:
        """Take the pictures of the next finer scale."""
        for plane in (sweeps.I0, sweeps.I1):
            cv2.resize(
                finer._inside[plane],
                None,
                dst=self._inside[plane],
                fx=self._settings.scale_step,
                fy=self._settings.scale_step,
                interpolation=cv2.INTER_LINEAR,
            )

    def start_from(self, coarser: "_Scale") -> None:
        """Take the flow of the next coarser scale as the start."""
        for mine, theirs in zip(self.flow, coarser.flow, strict=True):
            cv2.resize(theirs, mine.shape[::-1], dst=mine, interpolation=cv2.INTER_LINEAR)
            cv2.multiply(mine, 1 / self._settings.scale_step, dst=mine)

    def solve(self) -> None:
        """Bring the flow from its start to the solution."""
        inside, width = self._inside, self._width
        self._planes[sweeps.P11 : sweeps.P22 + 1] = 0
        sweeps.differentiate(self._planes, width)
        for _ in range(self._settings.warps):
            sweeps.look_up(self._planes, width)
            for source, target in (
                (sweeps.I1, sweeps.WARPED),
                (sweeps.I1X, sweeps.IX),
                (sweeps.I1Y, sweeps.IY),
            ):
                cv2.remap(
                    inside[source],
                    inside[sweeps.MAP_X],
                    inside[sweeps.MAP_Y],
                    cv2.INTER_CUBIC,
                    dst=inside[target],
                )
            sweeps.linearise(self._planes, width)
            self._minimise()

    def _minimise(self) -> None:
        settings = self._settings
        for _ in range(settings.outer_iterations):
            if settings.median_filtering > 1:
                for u in self.flow:
                    cv2.medianBlur(u, settings.median_filtering, dst=u)
            done, goes_on = sweeps.iterate(
                self._planes,
                self._width,
                self._limit,
                self._reach,
                self._theta,
                self._taut,
                settings.inner_iterations,
            )
            self.work += done * self.flow[0].size
            if not goes_on:
                return


def _scales(shape: tuple[int, ...], settings: FlowConfig) -> list[_Scale]:
    """Room for every scale of pictures of a size, the finest first."""
    height, width = shape
    scales = [_Scale(height, width, settings)]
    while len(scales) < settings.scales:
        # The sizes are OpenCV's to round.
        small = cv2.resize(
            np.zeros((height, width), np.uint8),
            None,
            fx=settings.scale_step,
            fy=settings.scale_step,
            interpolation=cv2.INTER_NEAREST,
        )
        height, width = small.shape
        if min(height, width) < SMALLEST_PX:
            break
        scales.append(_Scale(height, width, settings))
    return scales
