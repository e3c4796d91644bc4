"""Flow as colour, the same in every picture of the project.

Convention: hue is the direction (right is red, down is yellow-green, left is cyan,
up is violet), saturation the magnitude relative to `peak`; no motion is white.
"""

import numpy as np
from numpy.typing import NDArray


def flow_to_rgb(flow: NDArray[np.floating], peak: float) -> NDArray[np.uint8]:
    """Colour of a flow field.

    Args:
        flow: `[2, height, width]`, `(u right, v down)`.
        peak: Magnitude in pixels that is drawn fully saturated.

    Returns:
        `[height, width, 3]` RGB.
    """
    u, v = np.asarray(flow, dtype=np.float64)
    hue = (np.arctan2(v, u) / (2 * np.pi)) % 1.0 * 6.0
    strength = np.clip(np.hypot(u, v) / max(peak, 1e-9), 0.0, 1.0)
    # Standard hue ramp: each channel falls from 1 to 0 and back around the circle.
    offsets = np.array([0.0, 4.0, 2.0])
    ramp = np.clip(np.abs((hue[..., None] + offsets) % 6.0 - 3.0) - 1.0, 0.0, 1.0)
    colour = 1.0 - strength[..., None] * (1.0 - ramp)
    return np.round(colour * 255).astype(np.uint8)


def colour_wheel(size: int = 96) -> NDArray[np.uint8]:
    """The legend: a disc with the colour of each direction and magnitude, `[size, size, 3]`."""
    axis = np.linspace(-1.0, 1.0, size)
    u, v = np.meshgrid(axis, axis)
    rgb = flow_to_rgb(np.stack([u, v]), peak=1.0)
    rgb[np.hypot(u, v) > 1.0] = 255
    return rgb
