"""Points and 2x3 transforms, pure NumPy.

Convention: points are `(x, y)` on the last axis, pixel centres at integers, origin
at the top left, `y` grows downward. A transform is `[2, 3]` and acts on `(x, y, 1)`.
"""

import numpy as np
from jaxtyping import Float, Float64, Real

LEFT_EYE = slice(36, 42)
"""Points of the eye at the left of the picture (the person's right eye)."""
RIGHT_EYE = slice(42, 48)
NOSE_TIP = 30
MOUTH_CORNERS = (48, 54)


def eye_centres(
    landmarks: Float[np.ndarray, "68 2"],
) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """Means of the two eyes' points (36-41 and 42-47) of `[68, 2]` landmarks, each `[2]`."""
    return landmarks[LEFT_EYE].mean(axis=0), landmarks[RIGHT_EYE].mean(axis=0)


def apply_transform(
    transform: Float[np.ndarray, "2 3"], points: Real[np.ndarray, "*points 2"]
) -> Float[np.ndarray, "*points 2"]:
    """Move points `[..., 2]` by a `[2, 3]` transform."""
    return points @ transform[:, :2].T + transform[:, 2]


def invert_transform(transform: Float[np.ndarray, "2 3"]) -> Float64[np.ndarray, "2 3"]:
    """Transform that undoes `transform`.

    Raises:
        ValueError: If the linear part is singular.
    """
    linear = np.asarray(transform[:, :2], dtype=np.float64)
    determinant = np.linalg.det(linear)
    if abs(determinant) < 1e-12:
        raise ValueError(f"transform with determinant {determinant:g} cannot be inverted")
    inverse = np.linalg.inv(linear)
    return np.column_stack([inverse, -inverse @ transform[:, 2]])


def similarity(
    *, angle: float, scale: float, centre: Float[np.ndarray, " 2"], target: Float[np.ndarray, " 2"]
) -> Float64[np.ndarray, "2 3"]:
    """Similarity that turns by `angle` (radians), scales, and takes `centre` to `target`.

    Convention: a positive angle takes the x axis towards the y axis (clockwise on screen).
    """
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([linear, np.asarray(target) - linear @ np.asarray(centre)])


def compose(
    second: Float[np.ndarray, "2 3"], first: Float[np.ndarray, "2 3"]
) -> Float64[np.ndarray, "2 3"]:
    """The transform that does `first`, then `second`."""
    linear = second[:, :2] @ first[:, :2]
    return np.column_stack([linear, second[:, :2] @ first[:, 2] + second[:, 2]])


def fit_similarity(
    points: Float[np.ndarray, "points 2"], targets: Float[np.ndarray, "points 2"]
) -> Float64[np.ndarray, "2 3"]:
    """Similarity that takes points `[n, 2]` nearest to targets `[n, 2]`, by least squares.

    Raises:
        ValueError: If the points coincide.
    """
    centre, target = points.mean(axis=0), targets.mean(axis=0)
    a, b = points - centre, targets - target
    spread = float((a**2).sum())
    if spread < 1e-12:
        raise ValueError(f"{len(points)} points in one place give no similarity")
    along = float((a * b).sum()) / spread
    across = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    return similarity(
        angle=float(np.arctan2(across, along)),
        scale=float(np.hypot(along, across)),
        centre=centre,
        target=target,
    )
