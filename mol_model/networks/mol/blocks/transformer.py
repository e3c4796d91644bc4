"""A vanilla transformer encoder layer in the place of FCC (MOL Table XI)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class TransformerMixer(nn.Module):
    """Positions are tokens: embedding, one encoder layer.

    Args:
        channels: C, the width of a token.
        height: H.
        width: W.
        heads: Attention heads; must divide `channels`.

    Source:
        MOL Table XI names a vanilla transformer; its sizes are decision 0006.
    """

    HEADS = 8

    def __init__(self, *, channels: int, height: int, width: int, heads: int = HEADS) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(height * width, channels))
        self.layer = nn.TransformerEncoderLayer(
            d_model=channels,
            nhead=heads,
            dim_feedforward=2 * channels,
            dropout=0.0,
            batch_first=True,
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to `[n, C, H, W]`, without an outer residual."""
        tokens = x.flatten(2).transpose(1, 2) + self.position  # [n, HW, C]
        return self.layer(tokens).transpose(1, 2).reshape(x.shape)
