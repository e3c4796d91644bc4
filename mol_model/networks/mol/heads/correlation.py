"""Correlation of two feature maps as one batched matrix product."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Correlation(nn.Module):
    """Mean over channels of the product of each position with its displaced partners.

    `Y[n, (p, q), i, j] = 1/C sum_c A[n,c,i,j] B[n,c,i+dilation*(p-r),j+dilation*(q-r)]`
    with `r = displacements // 2`; a partner outside the map counts 0. All pairs of
    positions are one product `[HW, C] x [C, HW]`; the wanted ones are gathered.

    Convention: displacement rows first, from `-r` to `r` on each axis.

    Args:
        height: H.
        width: W.
        displacements: Per axis; odd.
        dilation: Step between displacements.

    Source:
        FlowNetC's correlation layer, as MOL Fig. 4 uses it; sizes from the release.
    """

    index: Tensor
    inside: Tensor

    def __init__(self, *, height: int, width: int, displacements: int, dilation: int) -> None:
        super().__init__()
        if displacements % 2 == 0:
            raise ValueError(f"displacements={displacements}: must be odd, to have a middle")
        steps = (torch.arange(displacements) - displacements // 2) * dilation
        row = torch.arange(height)[:, None, None, None] + steps[None, None, :, None]
        column = torch.arange(width)[None, :, None, None] + steps[None, None, None, :]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        shape = (height * width, displacements**2)
        self.height, self.width = height, width
        self.displacements, self.dilation = displacements, dilation
        self.register_buffer("index", index.reshape(shape), persistent=False)
        self.register_buffer("inside", inside.reshape(shape), persistent=False)

    def forward(
        self, first: Float[Tensor, "n c h w"], second: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, "n {self.displacements**2} h w"]:
        """Map two `[n, C, H, W]` to `[n, displacements^2, H, W]`."""
        count, channels = first.shape[:2]
        product = first.flatten(2).transpose(1, 2) @ second.flatten(2)  # [n, HW, HW]
        wanted = product.gather(2, self.index.expand(count, -1, -1))  # [n, HW, D^2]
        found = torch.where(self.inside, wanted, 0.0).transpose(1, 2) / channels
        return found.reshape(count, -1, self.height, self.width)
