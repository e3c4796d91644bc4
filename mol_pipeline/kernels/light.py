"""A change of light between two aligned frames, taken out before their flow is computed.

TV-L1 takes a point's grey for constant: light that grows by a hundredth from frame to frame is
motion to it, more than that of a micro-expression. Source: decision record 0029.
"""

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from mol_pipeline.contract.shard_layout import ALIGNED_PX

FITTED_PX = 48
"""Side of the small picture in which the light is compared."""
RIM_SHARE = 1 / 6
"""Left out at each side: hair, background, what lies outside the source image."""
ROUNDS = 5
TUKEY = 4.685
LEAST_DEVIATION = 0.5
"""Grey levels: below the noise of any camera."""


def match_light(
    reference: UInt8[np.ndarray, "144 144"], moving: UInt8[np.ndarray, "144 144"]
) -> UInt8[np.ndarray, "144 144"]:
    """The moving frame in the light of the reference.

    The light of one is that of the other times a gain that may change linearly over the face, plus
    an offset. The four numbers are fitted robustly, so that what moves or is hidden counts little.

    Args:
        reference: Aligned grey.
        moving: The next, aligned alike.
    """
    small = [
        cv2.resize(one, (FITTED_PX, FITTED_PX), interpolation=cv2.INTER_AREA).astype(np.float64)
        for one in (reference, moving)
    ]
    rim = round(FITTED_PX * RIM_SHARE)
    inner = slice(rim, FITTED_PX - rim)
    first, second = (one[inner, inner].ravel() for one in small)
    right, down = (axis[inner, inner].ravel() for axis in _axes(FITTED_PX))
    columns = np.stack([first, first * right, first * down, np.ones_like(first)], axis=1)
    light = _robust_fit(columns, second - first)
    right, down = _axes(ALIGNED_PX)
    gain = 1.0 + light[0] + light[1] * right + light[2] * down
    matched = (moving - light[3]) / np.clip(gain, 0.25, 4.0)
    return np.clip(np.round(matched), 0, 255).astype(np.uint8)


def _axes(side: int) -> tuple[Float64[np.ndarray, "n n"], Float64[np.ndarray, "n n"]]:
    """Right and down over a square, -1 to 1 between the outer edges of its pixels."""
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    down, right = np.meshgrid(axis, axis, indexing="ij")
    return right, down


def _robust_fit(
    columns: Float64[np.ndarray, "points terms"], values: Float64[np.ndarray, " points"]
) -> Float64[np.ndarray, " terms"]:
    """Tukey's fit; zeros where the terms cannot be told apart (a flat picture)."""
    weights = np.ones_like(values)
    found = np.zeros(columns.shape[1])
    for _ in range(ROUNDS):
        weighted = columns * weights[:, None]
        # A little of "no change", so that a flat picture gives that.
        normal = weighted.T @ columns + np.eye(columns.shape[1])
        found = np.linalg.solve(normal, weighted.T @ values)
        off = values - columns @ found
        deviation = max(1.4826 * float(np.median(np.abs(off))), LEAST_DEVIATION)
        relative = off / (TUKEY * deviation)
        weights = np.where(np.abs(relative) < 1, (1 - relative**2) ** 2, 0.0)
    return found
