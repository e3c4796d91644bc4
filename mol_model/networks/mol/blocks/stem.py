"""The stem: a frame to a rough feature map."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn


class Stem(nn.Module):
    """Four convolutions without activation between them; 128x128 becomes 16x16.

    Args:
        channels: Output channels of the four convolutions; the last is the paper's C.

    Source:
        MOL Table I; kernels 4, 3, 2, 1 as in the release; no activation: decision 0003.
    """

    def __init__(self, *, channels: Sequence[int]) -> None:
        super().__init__()
        first, second, third, last = channels
        self.layers = nn.Sequential(
            nn.Conv2d(1, first, kernel_size=4, stride=2),  # 128 -> 63
            nn.Conv2d(first, second, kernel_size=3, stride=2),  # 63 -> 31
            nn.Conv2d(second, third, kernel_size=2, stride=2, padding=1),  # 31 -> 16
            nn.Conv2d(third, last, kernel_size=1),
        )

    def forward(self, frames: Float[Tensor, "n 1 p q"]) -> Float[Tensor, "n c h w"]:
        """Map frames `[n, 1, height, width]` to features `[n, C, height', width']`."""
        return self.layers(frames)

    @staticmethod
    def output_size(px: int) -> int:
        """Side of the feature map for a frame of `px` pixels."""
        first = (px - 4) // 2 + 1
        second = (first - 3) // 2 + 1
        return (second + 2 - 2) // 2 + 1
