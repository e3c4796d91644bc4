"""Facial landmark detection."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

POINTS = 68

START_SCALE = 0.1
"""Of the last layer's first weights: points start where its bias puts them (decision 0009)."""


class LandmarkHead(nn.Module):
    """One convolution and two fully-connected layers.

    Args:
        channels: C.
        height: H.
        width: W.
        conv_channels: Of the convolution.
        hidden: Of the hidden layer.
        start_px: Where every point is before training, for want of a better place: the
            middle of the crop (decision 0009). Training moves it by `start_at`.

    Source:
        MOL Sec. 3.3.3, Fig. 2; numbers from the release.
    """

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        conv_channels: int,
        hidden: int,
        start_px: float,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, conv_channels, kernel_size=3)
        self.hidden = nn.Linear(conv_channels * (height - 2) * (width - 2), hidden)
        self.points = nn.Linear(hidden, 2 * POINTS)
        nn.init.constant_(self.points.bias, start_px)
        with torch.no_grad():
            self.points.weight.mul_(START_SCALE)

    def start_at(self, landmarks: Float[Tensor, "68 2"]) -> None:
        """Let an untrained head answer these landmarks `[68, 2]`, pixels of the crop."""
        with torch.no_grad():
            self.points.bias.copy_(landmarks.flatten())

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 68 2"]:
        """Map `[n, C, H, W]` to `(x, y)` in pixels of the crop, `[n, 68, 2]`."""
        x = functional.relu(self.conv(features)).flatten(1)
        x = functional.relu(self.hidden(x))
        # Pixels need more digits than mixed precision has: bfloat16 rounds 64 to halves.
        with torch.autocast(x.device.type, enabled=False):
            x = self.points(x.to(self.points.weight.dtype))
        return x.unflatten(1, (POINTS, 2))
