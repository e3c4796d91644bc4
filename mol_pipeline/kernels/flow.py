"""Dense optical flow between aligned frames: TV-L1, solved by OpenCV or by compiled loops.

Both solvers give the same bytes, so which one ran enters neither the settings nor a hash. The
compiled one needs numba (the extra `fast`) and is taken when it has proved itself in this process:
it and OpenCV solve a small pair, and if one byte differs, OpenCV does the work.
"""

import functools
import logging
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from mol_pipeline.config import FlowConfig
from mol_pipeline.contract.errors import ConfigError, SourceError, StoppedOnRequest
from mol_pipeline.kernels.threads import PerThread

logger = logging.getLogger(__name__)

BACKEND_VARIABLE = "MOL_FLOW_BACKEND"
"""Environment variable for measurements and tests: `opencv` or `numba` whatever is there."""

OPENCV, NUMBA = "opencv", "numba"

_SHORTEST_SIDE = 3
"""Below, OpenCV's derivatives leave the picture."""

Solver = Callable[[Any, Any], Any]


class Backend(NamedTuple):
    """What solves TV-L1 in this process."""

    name: str
    """`numba` or `opencv`."""
    reason: str = ""
    """Why it is not the faster one; empty if it is, or if OpenCV was asked for."""


class TVL1:
    """A TV-L1 solver with fixed settings; reusing it gives the same numbers as a new one.

    Several threads may use one: a solver keeps the fields of the pair that it works on, so each
    thread has its own.

    Source: Zach, Pock, Bischof 2007; ground truth of the flow task in MOL Sec. 4.1.1.
    """

    def __init__(self, settings: FlowConfig | None = None) -> None:
        """Build the solver.

        Raises:
            SourceError: If this OpenCV lacks the contrib modules.
            ConfigError: If the environment asks for a backend that cannot be had.
        """
        settings = settings or FlowConfig()
        if not hasattr(cv2, "optflow"):
            raise SourceError(
                "this OpenCV has no optflow module (TV-L1): keep exactly one OpenCV variant, "
                "pip uninstall the others and 'pip install --force-reinstall opencv-contrib-python'"
            )
        self._opencv: PerThread[Solver] = PerThread(lambda: _OpenCVSolver(settings))
        self._opencv.get()  # settings that OpenCV refuses are refused here
        self.backend = backend(settings)
        self._solver: PerThread[Solver] = self._opencv
        if self.backend.name == NUMBA:
            self._solver = PerThread(lambda: _compiled_solver(settings))

    def __call__(
        self,
        reference: UInt8[np.ndarray, "height width"],
        moving: UInt8[np.ndarray, "height width"],
    ) -> Float32[np.ndarray, "2 height width"]:
        """Flow `[2, height, width]` from `reference` to `moving`, both `[height, width]` grey.

        Convention: `(u, v)` first axis, `u` grows to the right and `v` downward, pixels
        per frame pair; `reference[y, x]` is found again at `moving[y + v, x + u]`.
        """
        if not _is_regular(reference, moving):
            return self._opencv.get()(reference, moving)
        flow = self._solver.get()(reference, moving)
        if not np.isfinite(flow).all():
            return self._opencv.get()(reference, moving)
        return flow


def tvl1_flow(
    reference: UInt8[np.ndarray, "height width"],
    moving: UInt8[np.ndarray, "height width"],
    settings: FlowConfig | None = None,
) -> Float32[np.ndarray, "2 height width"]:
    """Flow of one pair; see `TVL1` for the convention."""
    return TVL1(settings)(reference, moving)


def backend(settings: FlowConfig | None = None) -> Backend:
    """What solves TV-L1 with these settings in this process; found at the first call.

    Loops are compiled, or read from numba's cache, then.

    Raises:
        ConfigError: If the environment asks for a backend that cannot be had.
    """
    asked = os.environ.get(BACKEND_VARIABLE, "")
    if asked not in {"", OPENCV, NUMBA}:
        raise ConfigError(
            f"{BACKEND_VARIABLE}={asked}: no backend of the optical flow; set it to {OPENCV} or "
            f"{NUMBA}, or leave it out"
        )
    if asked == OPENCV:
        return Backend(OPENCV)
    with _proving:
        found = _proved(settings or FlowConfig())
    if asked == NUMBA and found.name != NUMBA:
        raise ConfigError(f"{BACKEND_VARIABLE}={NUMBA}: {found.reason}")
    return found


_proving = threading.Lock()


@functools.lru_cache(maxsize=8)
def _proved(settings: FlowConfig) -> Backend:
    """The compiled solver if it gives the bytes of OpenCV, else OpenCV; said once in the log."""
    try:
        solver = _compiled_solver(settings)
    except ModuleNotFoundError as error:
        if error.name == "numba":  # nothing is wrong: it was not asked for
            return Backend(
                OPENCV, "numba is not installed: pip install 'mol-micro-expression[fast]'"
            )
        reason = f"numba cannot be loaded ({error})"
    except Exception as error:
        _refuse_if_stopped(error)
        reason = f"numba cannot be loaded ({type(error).__name__}: {error})"
    else:
        reason = _disproof(solver, settings)
    if not reason:
        return Backend(NUMBA)
    logger.warning("optical flow is solved by OpenCV, more slowly: %s", reason)
    return Backend(OPENCV, reason)


def _disproof(solver: Solver, settings: FlowConfig) -> str:
    """Why the compiled solver is not to be taken; empty if it is."""
    pair = _small_pair()
    expected = _OpenCVSolver(settings)(*pair)
    try:
        found = solver(*pair)
    except Exception as error:  # of the compiler, or of the disk where its cache lies
        _refuse_if_stopped(error)
        return (
            f"numba cannot compile it ({type(error).__name__}: {' '.join(str(error).split())}); "
            "see that NUMBA_CACHE_DIR names a folder with room that may be written"
        )
    if found.tobytes() == expected.tobytes():
        return ""
    return (
        f"the compiled solver differs from OpenCV {cv2.__version__} by up to "
        f"{np.abs(found - expected).max():.3g} px on a test picture"
    )


def _refuse_if_stopped(error: BaseException | None) -> None:
    """A stop signal that came while loops were compiled is no fault of the compiler.

    Raises:
        StoppedOnRequest: If the error is one, or was made of one: the compiler wraps what it meets.
    """
    while error is not None:
        if isinstance(error, StoppedOnRequest):
            raise error
        error = error.__cause__ or error.__context__


def _small_pair() -> tuple[np.ndarray, np.ndarray]:
    """A texture and how it moved, with all that a solver meets: every scale, steps, a flat part."""
    y, x = np.mgrid[0:46, 0:61]
    first = abs((3 * x + 2 * y) % 64 - 32) * 4 + abs((2 * x - 5 * y) % 48 - 24) * 4
    first[30:, 40:] = 90
    return first.astype(np.uint8), np.roll(first, (1, 2), axis=(0, 1)).astype(np.uint8)


def _is_regular(reference: np.ndarray, moving: np.ndarray) -> bool:
    """Whether the compiled solver covers a pair; the others are OpenCV's to solve or to refuse."""
    return (
        reference.dtype == moving.dtype == np.uint8
        and reference.shape == moving.shape
        and reference.ndim == 2
        and min(reference.shape) >= _SHORTEST_SIDE
    )


def _compiled_solver(settings: FlowConfig) -> Solver:
    # Numba and LLVM take half a second to load, which only whoever computes flow should pay.
    from mol_pipeline.kernels.flow_compiled import CompiledSolver

    return CompiledSolver(settings)


class _OpenCVSolver:
    """One solver for one thread."""

    def __init__(self, settings: FlowConfig) -> None:
        self._scales = settings.scales
        # OpenCV's type stubs leave this function out.
        self._solver = cv2.optflow.DualTVL1OpticalFlow_create(  # type: ignore[attr-defined]
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

    def __call__(self, reference: np.ndarray, moving: np.ndarray) -> np.ndarray:
        # A small pair lowers the number of scales for all that come after it.
        self._solver.setScalesNumber(self._scales)
        flow = self._solver.calc(reference, moving, None)
        return np.ascontiguousarray(np.moveaxis(flow, -1, 0), dtype=np.float32)
