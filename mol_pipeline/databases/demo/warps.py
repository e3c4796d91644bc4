"""Smooth displacement fields led by landmarks: identities and expressions.

Convention: fields are `[height, width, 2]`, `(x, y)`, in pixels. Left and right are
those of the picture. Landmark numbers are those of the 68-point scheme.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Displacements = Mapping[int, tuple[float, float]]
"""Landmark -> (right, down), relative to the peak of the expression."""


def _group(points: tuple[int, ...], right: float, down: float) -> dict[int, tuple[float, float]]:
    return dict.fromkeys(points, (right, down))


LEFT_BROW, RIGHT_BROW = (17, 18, 19, 20, 21), (22, 23, 24, 25, 26)
UPPER_LIDS, LOWER_LIDS = (37, 38, 43, 44), (40, 41, 46, 47)

SURPRISE: Displacements = {
    **_group(LEFT_BROW + RIGHT_BROW, 0.0, -1.0),
    **_group(UPPER_LIDS, 0.0, -0.5),
}
"""Brow raise (AU 1+2) and upper lid raise (AU 5)."""

HAPPINESS: Displacements = {
    **_group((48, 60), -0.7, -0.75),
    **_group((54, 64), 0.7, -0.75),
    **_group((49, 59), -0.35, -0.4),
    **_group((53, 55), 0.35, -0.4),
    **_group(LOWER_LIDS, 0.0, -0.3),
}
"""Both lip corners pulled out and up (AU 12), cheeks raised a little (AU 6)."""

ANGER: Displacements = {
    **_group((17, 18, 19), 0.2, 0.7),
    **_group((20, 21), 0.45, 0.9),
    **_group((22, 23), -0.45, 0.9),
    **_group((24, 25, 26), -0.2, 0.7),
    **_group(UPPER_LIDS, 0.0, 0.4),
    **_group(LOWER_LIDS, 0.0, -0.35),
}
"""Brows lowered and drawn together (AU 4), lids tightened (AU 7)."""

CONTEMPT_LEFT: Displacements = {
    **_group((48, 60), -0.6, -0.8),
    **_group((49, 59), -0.3, -0.5),
}
"""One lip corner pulled (AU 14 on one side)."""

CONTEMPT_RIGHT: Displacements = {
    **_group((54, 64), 0.6, -0.8),
    **_group((53, 55), 0.3, -0.5),
}

OTHER: Displacements = {
    **_group((55, 56, 57, 58, 59, 65, 66, 67), 0.0, -0.9),
    **_group((6, 7, 8, 9, 10), 0.0, -0.8),
    **_group((50, 51, 52, 61, 62, 63), 0.0, 0.3),
}
"""Chin raised and lips pressed (AU 17+24)."""


def landmark_field(
    landmarks: NDArray[np.floating],
    displacements: NDArray[np.floating],
    shape: tuple[int, int],
    *,
    reach: float,
) -> NDArray[np.float32]:
    """Spread displacements of the landmarks over an image.

    A landmark that does not move holds its surroundings still.

    Args:
        landmarks: `[68, 2]`.
        displacements: `[68, 2]`, pixels.
        shape: `(height, width)` of the field.
        reach: Standard deviation of a landmark's influence, pixels.
    """
    height, width = shape
    # Gaussians separate, so the sum over landmarks is a matrix product per component.
    x = np.exp(-0.5 * ((np.arange(width)[:, None] - landmarks[:, 0]) / reach) ** 2)
    y = np.exp(-0.5 * ((np.arange(height)[:, None] - landmarks[:, 1]) / reach) ** 2)
    weight = y @ x.T + 0.3  # the constant lets the field fade out away from the face
    field = np.stack([(y * displacements[:, i]) @ x.T for i in range(2)], axis=-1)
    return (field / weight[..., None]).astype(np.float32)


def expression_field(
    expression: Displacements,
    landmarks: NDArray[np.floating],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Field of an expression whose largest displacement is one pixel."""
    displacements = np.zeros((68, 2))
    for point, shift in expression.items():
        displacements[point] = shift
    eyes = np.linalg.norm(landmarks[42:48].mean(axis=0) - landmarks[36:42].mean(axis=0))
    field = landmark_field(landmarks, displacements, shape, reach=0.2 * float(eyes))
    return field / np.linalg.norm(field, axis=-1).max()


def identity_displacements(
    landmarks: NDArray[np.floating], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Random but plausible change of a face's shape, `[68, 2]` pixels.

    Eyes, brows, nose, mouth and jaw are scaled and moved as wholes, by some percent
    of the distance between the eyes.
    """
    eyes = float(np.linalg.norm(landmarks[42:48].mean(axis=0) - landmarks[36:42].mean(axis=0)))
    centre = landmarks[27:36].mean(axis=0)
    moved = np.zeros((68, 2))
    jaw = np.arange(17)
    width, length = rng.uniform(-0.10, 0.10, size=2)
    moved[jaw, 0] += width * (landmarks[jaw, 0] - centre[0])
    moved[jaw, 1] += length * np.clip(landmarks[jaw, 1] - centre[1], 0, None)
    parts = {
        "left eye": (np.r_[36:42], 0.12),
        "right eye": (np.r_[42:48], 0.12),
        "nose": (np.r_[27:36], 0.12),
        "mouth": (np.r_[48:68], 0.14),
        "brows": (np.r_[17:27], 0.06),
    }
    apart = rng.uniform(-0.035, 0.035) * eyes
    for name, (points, most) in parts.items():
        middle = landmarks[points].mean(axis=0)
        moved[points] += rng.uniform(-most, most, size=2) * (landmarks[points] - middle)
        if name.endswith("eye"):
            moved[points, 0] += -apart if name.startswith("left") else apart
        else:
            moved[points, 1] += rng.uniform(-0.05, 0.05) * eyes
    return moved
