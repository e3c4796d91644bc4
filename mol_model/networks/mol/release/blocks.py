"""FCC and CCC as the authors' released code computes them, for reading its checkpoints.

Where they differ from the paper is said at each class. Nothing here is used by the
paper's flavour.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from mol_model.networks.mol.blocks.fcc import circulant

STORED_LENGTH = 32
"""Kernels and positions are stored this long and cropped to the feature map."""


class ReleaseFullyConnectedConvolution(nn.Module):
    """The release's FCC: the channels are split in halves, one per order of directions.

    Unlike the paper's: halves instead of both branches over all channels, a batch norm
    after the first position, biases, no 1x1 convolution before and none to fuse.

    Args:
        channels: C; even.
        height: H.
        width: W.

    Raises:
        ValueError: If `channels` is odd or the map is larger than the stored kernels.

    Source:
        The behaviour of the authors' release, not the paper.
    """

    def __init__(self, *, channels: int, height: int, width: int) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(
                f"channels={channels}: must be even, the release splits them in halves"
            )
        if max(height, width) > STORED_LENGTH:
            raise ValueError(
                f"feature map {height}x{width}: the release stores kernels of {STORED_LENGTH}"
            )
        half = channels // 2
        self.height, self.width = height, width
        for order in (1, 2):
            for axis in ("h", "w"):
                kernel = torch.randn(half, STORED_LENGTH) * STORED_LENGTH**-0.5
                self.register_parameter(f"kernel_{order}_{axis}", nn.Parameter(kernel))
                position = nn.Parameter(torch.zeros(half, STORED_LENGTH))
                self.register_parameter(f"position_{order}_{axis}", position)
                self.register_parameter(f"bias_{order}_{axis}", nn.Parameter(torch.zeros(half)))
        self.norm_1 = nn.BatchNorm2d(half)
        self.norm_2 = nn.BatchNorm2d(half)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to `[n, C, H, W]`, without the residual."""
        a, b = x.chunk(2, dim=1)
        a = self._along_height(self.norm_1(a + self._position(1, "h")), 1)
        b = self._along_width(self.norm_2(b + self._position(1, "w")), 1)
        a = self._along_width(a + self._position(2, "w"), 2)
        b = self._along_height(b + self._position(2, "h"), 2)
        return torch.cat([a, b], dim=1)

    def _position(self, order: int, axis: str) -> Tensor:
        position = self.get_parameter(f"position_{order}_{axis}")
        if axis == "h":
            return position[:, : self.height, None]
        return position[:, None, : self.width]

    def _along_height(self, x: Float[Tensor, "n c h w"], order: int) -> Float[Tensor, "n c h w"]:
        mixing = circulant(self.get_parameter(f"kernel_{order}_h")[:, : self.height])
        bias = self.get_parameter(f"bias_{order}_h")[:, None, None]
        return torch.einsum("cir,ncrj->ncij", mixing, x) + bias

    def _along_width(self, x: Float[Tensor, "n c h w"], order: int) -> Float[Tensor, "n c h w"]:
        mixing = circulant(self.get_parameter(f"kernel_{order}_w")[:, : self.width])
        bias = self.get_parameter(f"bias_{order}_w")[:, None, None]
        return torch.einsum("cjs,ncis->ncij", mixing, x) + bias


class ReleaseChannelCorrespondence(nn.Module):
    """The release's CCC: its graph is over positions, not channels.

    Each position has as neighbours the `k` positions with the most similar vectors over
    the channels, itself among them. With `g_j[p] = x[idx[p, j]] - x[p]` per channel,
    `e_j = ReLU(W1 x + b1 + W2 (g_j - x) + b2)`, and the maximum over j is taken.

    Args:
        height: H.
        width: W.
        neighbours: k.

    Source:
        The behaviour of the authors' release, not the paper.
    """

    def __init__(self, *, height: int, width: int, neighbours: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        size = height * width
        self.centre = nn.Linear(size, size)
        self.difference = nn.Linear(size, size)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to `[n, C, H, W]`, without the residual."""
        maps = x.flatten(2)  # [n, C, d]
        # Made outside autocast, as in the paper's CCC: bf16 ties similar positions.
        with torch.no_grad(), torch.autocast(device_type=x.device.type, enabled=False):
            precise = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
            unit = functional.normalize(precise, dim=1)
            similarity = unit.transpose(1, 2) @ unit  # [n, d, d], between positions
            index = similarity.topk(self.neighbours, dim=-1).indices  # [n, d, k]
        count, channels, size = maps.shape
        flat = index.transpose(1, 2).reshape(count, 1, -1).expand(-1, channels, -1)
        near = maps.gather(2, flat).unflatten(2, (self.neighbours, size))  # [n, C, k, d]
        through = self.difference(near - 2 * maps[:, :, None])  # g_j - x = near - 2 x
        strongest = through.amax(dim=2)
        return functional.relu(self.centre(maps) + strongest).view_as(x)
