"""Dense optical flow between aligned frames: TV-L1 through OpenCV."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from mol_pipeline.config import FlowConfig
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.kernels.threads import PerThread


class TVL1:
    """A TV-L1 solver with fixed settings; reusing it gives the same numbers as a new one.

    Several threads may use one: OpenCV's object keeps the fields of the pair that it works on, so
    each thread has its own.

    Source: Zach, Pock, Bischof 2007; ground truth of the flow task in MOL Sec. 4.1.1.
    """

    def __init__(self, settings: FlowConfig | None = None) -> None:
        """Build the solver.

        Raises:
            SourceError: If this OpenCV lacks the contrib modules.
        """
        settings = settings or FlowConfig()
        if not hasattr(cv2, "optflow"):
            raise SourceError(
                "this OpenCV has no optflow module (TV-L1): keep exactly one OpenCV variant, "
                "pip uninstall the others and 'pip install --force-reinstall opencv-contrib-python'"
            )
        self._settings = settings
        self._solver = PerThread(self._create)
        self._solver.get()  # settings that OpenCV refuses are refused here

    def _create(self) -> Any:
        settings = self._settings
        # OpenCV's type stubs leave this function out.
        return cv2.optflow.DualTVL1OpticalFlow_create(  # type: ignore[attr-defined]
            tau=settings.tau,
            lambda_=settings.attachment,
            theta=settings.tightness,
            nscales=settings.scales,
            warps=settings.warps,
            epsilon=settings.epsilon,
            innnerIterations=settings.inner_iterations,  # three n: OpenCV's own spelling
            outerIterations=settings.outer_iterations,
            scaleStep=settings.scale_step,
            medianFiltering=settings.median_filtering,
        )

    def __call__(
        self,
        reference: UInt8[np.ndarray, "height width"],
        moving: UInt8[np.ndarray, "height width"],
    ) -> Float32[np.ndarray, "2 height width"]:
        """Flow `[2, height, width]` from `reference` to `moving`, both `[height, width]` grey.

        Convention: `(u, v)` first axis, `u` grows to the right and `v` downward, pixels
        per frame pair; `reference[y, x]` is found again at `moving[y + v, x + u]`.
        """
        flow = self._solver.get().calc(reference, moving, None)
        return np.ascontiguousarray(np.moveaxis(flow, -1, 0), dtype=np.float32)


def tvl1_flow(
    reference: UInt8[np.ndarray, "height width"],
    moving: UInt8[np.ndarray, "height width"],
    settings: FlowConfig | None = None,
) -> Float32[np.ndarray, "2 height width"]:
    """Flow of one pair; see `TVL1` for the convention."""
    return TVL1(settings)(reference, moving)
