"""Estimates in the network's crop, taken back to the pixels of the source frames.

Convention: a transform of the build takes a source point to the aligned frame; the crop's
`(0, 0)` lies `margin` pixels right of and below the aligned frame's.
"""

import numpy as np
from numpy.typing import NDArray

from mol_pipeline.kernels.geometry import apply_transform, compose, invert_transform


def crop_to_source(transform: NDArray[np.floating], margin: float) -> NDArray[np.float64]:
    """Transform `[2, 3]` from the crop to the source frame.

    Args:
        transform: `[2, 3]`, source -> aligned.
        margin: Pixels that the crop leaves out at the left and above.

    Raises:
        ValueError: If the transform cannot be inverted.
    """
    shift = np.array([[1.0, 0.0, margin], [0.0, 1.0, margin]])
    return compose(invert_transform(transform), shift)


def points_to_source(
    points: NDArray[np.floating], transform: NDArray[np.floating], margin: float
) -> NDArray[np.float64]:
    """Points `[..., 2]` of the crop in pixels of the source frame."""
    return apply_transform(crop_to_source(transform, margin), points)


def vectors_to_source(
    vectors: NDArray[np.floating], transform: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Displacements `[..., 2]` of the aligned frame as they look in the source frame.

    Turned and scaled only. With a transform for each frame, what is left is motion relative
    to the head: the alignment has taken the head's own motion out, and it stays out.
    """
    return vectors @ invert_transform(transform)[:, :2].T
