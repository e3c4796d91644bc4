"""Fully-Connected Convolution (FCC): global reach in one direction, then the other."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Direction = Literal["vertical", "horizontal"]


def circulant(kernel: Float[Tensor, "c n"]) -> Float[Tensor, "c n n"]:
    """Matrices `[C, n, n]` whose product with a column is its circular correlation.

    Entry `[c, i, r]` is `kernel[c, (r - i) mod n]`, so that
    `sum_r M[c, i, r] x[r] = sum_s kernel[c, s] x[(i + s) mod n]`.

    Args:
        kernel: `[C, n]`.
    """
    size = kernel.shape[-1]
    index = torch.arange(size, device=kernel.device)
    return kernel[:, (index[None, :] - index[:, None]) % size]


class DirectionalConvolution(nn.Module):
    """FCC-V or FCC-H: positional embedding, then a depthwise circular correlation.

    Vertical, with H rows: `X_v[c,i,j] = X[c,i,j] + P[c,i]` and
    `Y[c,i,j] = sum_s U[c,s] X_v[c,(i+s) mod H,j]`; horizontal likewise along the width.

    Args:
        channels: C.
        size: H for vertical, W for horizontal.
        direction: Along which axis.

    Source:
        MOL Sec. 3.2.1, Eq. 1, Eq. 2 (vertical), Eq. 3 (horizontal).
    """

    def __init__(self, *, channels: int, size: int, direction: Direction) -> None:
        super().__init__()
        self.vertical = direction == "vertical"
        self.size = size
        self.position = nn.Parameter(torch.zeros(channels, size))
        # Variance 1/size keeps the scale of the features: each output sums `size` inputs.
        self.kernel = nn.Parameter(torch.randn(channels, size) * size**-0.5)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to `[n, C, H, W]`."""
        mixing = circulant(self.kernel)  # [C, size, size]
        # One product per channel over the whole batch, not one per map: far fewer, larger.
        if self.vertical:
            placed = x + self.position[:, :, None]
            return torch.einsum("cir,ncrj->ncij", mixing, placed)
        placed = x + self.position[:, None, :]
        return torch.einsum("cjs,ncis->ncij", mixing, placed)


class FullyConnectedConvolution(nn.Module):
    """FCC: 1x1 convolution, two directional branches in either order, fusion.

    Args:
        channels: C.
        height: H of the feature map.
        width: W of the feature map.
        only: One direction instead of both branches (the rows FCC-V and FCC-H of Table XI).

    Raises:
        ValueError: In `forward`, if the feature map has another size.

    Source:
        MOL Sec. 3.2.1, Fig. 3, Eq. 1 to 3; widths of 1x1 and fusion: decision 0004.
    """

    def __init__(
        self, *, channels: int, height: int, width: int, only: Direction | None = None
    ) -> None:
        super().__init__()
        self.height, self.width = height, width
        self.entry = nn.Conv2d(channels, channels, kernel_size=1)

        def along(direction: Direction) -> nn.Module:
            size = height if direction == "vertical" else width
            return DirectionalConvolution(channels=channels, size=size, direction=direction)

        branches: list[nn.Module]
        if only is not None:
            branches = [along(only)]
        else:
            branches = [
                nn.Sequential(along("vertical"), along("horizontal")),
                nn.Sequential(along("horizontal"), along("vertical")),
            ]
        self.branches = nn.ModuleList(branches)
        self.fusion = nn.Conv2d(channels * len(branches), channels, kernel_size=1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to `[n, C, H, W]`, without the residual."""
        if x.shape[-2:] != (self.height, self.width):
            raise ValueError(
                f"FCC was built for {self.height}x{self.width} features, got "
                f"{x.shape[-2]}x{x.shape[-1]}: its kernels reach over the whole map"
            )
        x = self.entry(x)
        mixed = torch.cat([branch(x) for branch in self.branches], dim=1)  # [n, 2C, H, W]
        return self.fusion(mixed)
