"""F5C block: FCC, then CCC, each with its residual."""

from jaxtyping import Float
from torch import Tensor, nn


class F5CBlock(nn.Module):
    """`x = x + mixer(x)`, then `x = x + Conv1x1(CCC(x))`; either part may be absent.

    Args:
        channels: C.
        mixer: FCC or what stands in its place; None for `w/o FCC`.
        ccc: None for `w/o CCC`.
        exit_convolution: The 1x1 convolution after CCC; the release has none.

    Source:
        MOL Sec. 3.2, Fig. 2; Table IX for the parts.
    """

    def __init__(
        self,
        *,
        channels: int,
        mixer: nn.Module | None,
        ccc: nn.Module | None,
        exit_convolution: bool = True,
    ) -> None:
        super().__init__()
        self.mixer = mixer
        self.ccc = ccc
        self.exit: nn.Module = nn.Identity()
        if ccc is not None and exit_convolution:
            self.exit = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to `[n, C, H, W]`."""
        if self.mixer is not None:
            x = x + self.mixer(x)
        if self.ccc is not None:
            x = x + self.exit(self.ccc(x))
        return x
