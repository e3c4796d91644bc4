"""Channel Correspondence Convolution (CCC): each channel is a node of a graph."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class ChannelCorrespondenceConvolution(nn.Module):
    """Graph-style mixing of channels that look alike.

    Edges lead to the `k` channels with the largest cosine similarity. The edge feature
    `e_ij[s] = ReLU(v_s . f_i + u_s . (f_j - f_i))` is aggregated by its maximum over
    the neighbours. ReLU is monotone and the maximum is per element, so
    `f'_i = ReLU(V f_i - U f_i + max_j U f_j)`: two matrix products and a gather.

    Args:
        channels: C, the number of nodes.
        height: H of the feature map.
        width: W of the feature map; `d = H * W`.
        neighbours: k, at most `channels - 1`; a channel is not its own neighbour
            (decision 0005).

    Raises:
        ValueError: If `neighbours` does not fit `channels`, or in `forward` for another size.

    Source:
        MOL Sec. 3.2.2, Eq. 4 and Eq. 5.
    """

    def __init__(self, *, channels: int, height: int, width: int, neighbours: int) -> None:
        super().__init__()
        if not 1 <= neighbours < channels:
            raise ValueError(f"neighbours={neighbours}: must be between 1 and {channels - 1}")
        self.height, self.width, self.neighbours = height, width, neighbours
        size = height * width
        self.centre = nn.Linear(size, size, bias=False)  # V
        self.difference = nn.Linear(size, size, bias=False)  # U

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to `[n, C, H, W]`, without the residual."""
        if x.shape[-2:] != (self.height, self.width):
            raise ValueError(
                f"CCC was built for {self.height}x{self.width} features, got "
                f"{x.shape[-2]}x{x.shape[-1]}: its matrices act on whole maps"
            )
        nodes = x.flatten(2)  # [n, C, d]
        index = self.nearest(nodes)  # [n, C, k]
        through_u = self.difference(nodes)  # [n, C, d]   U f
        batch = torch.arange(len(nodes), device=x.device)[:, None, None]
        strongest = through_u[batch, index].amax(dim=2)  # [n, C, d]   max_j U f_j
        return functional.relu(self.centre(nodes) - through_u + strongest).view_as(x)

    def nearest(self, nodes: Float[Tensor, "n c d"]) -> Int[Tensor, "n c {self.neighbours}"]:
        """Indices `[n, C, k]` of the channels most similar to each, itself left out.

        The choice of neighbours has no gradient; it is made in float32 whatever autocast
        says, because bf16 ties similar channels.
        """
        with torch.no_grad(), torch.autocast(device_type=nodes.device.type, enabled=False):
            unit = functional.normalize(nodes.float(), dim=-1)
            similarity = unit @ unit.transpose(1, 2)  # [n, C, C]
            own = torch.eye(nodes.shape[1], dtype=torch.bool, device=nodes.device)
            return similarity.masked_fill(own, -torch.inf).topk(self.neighbours, dim=-1).indices
