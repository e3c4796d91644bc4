"""Optical flow estimation: a FlowNetC-style encoder and decoder."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from mol_model.networks.mol.heads.correlation import Correlation

SLOPE = 0.1
"""Of every LeakyReLU in this head (R)."""

START_SCALE = 0.1
"""Of the last prediction's first weights: flow starts near no motion (decision 0014)."""


def _conv(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(SLOPE),
    )


def _deconv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
        nn.LeakyReLU(SLOPE),
    )


class FrameEncoder(nn.Module):
    """Features of one frame at a half, a quarter and an eighth of its size."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        first, second, third = channels
        self.conv1 = _conv(1, first, kernel=6, stride=2, padding=2)
        self.conv2 = _conv(first, second, kernel=4, stride=2, padding=1)
        self.conv3 = _conv(second, third, kernel=2, stride=2, padding=0)

    def forward(
        self, frames: Float[Tensor, "n 1 p p"]
    ) -> tuple[
        Float[Tensor, "n c1 p//2 p//2"],
        Float[Tensor, "n c2 p//4 p//4"],
        Float[Tensor, "n c3 p//8 p//8"],
    ]:
        """Map `[n, 1, P, P]` to three maps of side P/2, P/4, P/8."""
        half = self.conv1(frames)
        quarter = self.conv2(half)
        return half, quarter, self.conv3(quarter)


class FlowHead(nn.Module):
    """Flow of each pair from raw frames, their correlation and their F5C features.

    The encoder runs once per frame, also where two pairs share it.

    Args:
        channels: C of the F5C features.
        height: H of the F5C features: an eighth of the frame's side.
        width: W of the F5C features.
        encoder: Channels of the encoder.
        redirection: Channels kept of the first frame.
        contracting: Channels of conv4, conv5, conv6.
        expanding: Channels of the six deconvolutions.
        displacements: Per axis of the correlation.
        dilation: Of the correlation.

    Source:
        MOL Sec. 3.3.2, Fig. 4, Eq. 7 for its loss; numbers from the release.
    """

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        encoder: Sequence[int],
        redirection: int,
        contracting: Sequence[int],
        expanding: Sequence[int],
        displacements: int,
        dilation: int,
    ) -> None:
        super().__init__()
        self.encoder = FrameEncoder(encoder)
        self.correlation = Correlation(
            height=height, width=width, displacements=displacements, dilation=dilation
        )
        self.redirection = _conv(encoder[2], redirection, kernel=1, stride=1, padding=0)
        merged = redirection + displacements**2 + 2 * channels
        four, five, six = contracting
        self.conv3_1 = _conv(merged, encoder[2], kernel=3, stride=1, padding=1)
        self.conv4 = _conv(encoder[2], four, kernel=3, stride=2, padding=1)
        self.conv4_1 = _conv(four, four, kernel=3, stride=1, padding=1)
        self.conv5 = _conv(four, five, kernel=3, stride=2, padding=1)
        self.conv5_1 = _conv(five, five, kernel=3, stride=1, padding=1)
        self.conv6 = _conv(five, six, kernel=3, stride=2, padding=1)
        self.conv6_1 = _conv(six, six, kernel=3, stride=1, padding=1)
        # Decoder: at each level the skip, the deconvolution and the upsampled flow.
        skips = (five, four, encoder[2], encoder[1], encoder[0], 1)
        widths = [six, *(s + e + 2 for s, e in zip(skips, expanding, strict=True))]
        self.deconvs = nn.ModuleList(
            [_deconv(a, b) for a, b in zip(widths[:-1], expanding, strict=True)]
        )
        self.predictions = nn.ModuleList(
            [nn.Conv2d(w, 2, 3, padding=1, bias=False) for w in widths]
        )
        self.upsamplings = nn.ModuleList(
            [nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1, bias=False) for _ in expanding]
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)
        last = self.predictions[-1].get_parameter("weight")
        with torch.no_grad():
            last.mul_(START_SCALE)

    def forward(
        self,
        frames: Float[Tensor, "b t p p"],
        first: Float[Tensor, "b t-1 c h w"],
        second: Float[Tensor, "b t-1 c h w"],
        pairs: Sequence[int] | None = None,
    ) -> Float[Tensor, "b pairs 2 p p"]:
        """Flow of consecutive pairs.

        Args:
            frames: `[B, t, P, P]`.
            first: F5C features of the first frame of each pair, `[B, t-1, C, H, W]`.
            second: Of the second frame, likewise.
            pairs: Which pairs, by the position of their first frame; all if None.

        Returns:
            `[B, pairs, 2, P, P]`, `(u right, v down)` in pixels.
        """
        batch, count = frames.shape[:2]
        starts = list(range(count - 1)) if pairs is None else list(pairs)
        needed = sorted({*starts, *(start + 1 for start in starts)})
        at = [needed.index(start) for start in starts]  # of first frames among the encoded
        after = [needed.index(start + 1) for start in starts]

        levels = self.encoder(frames[:, needed].flatten(0, 1).unsqueeze(1))
        per_frame = [level.unflatten(0, (batch, len(needed))) for level in levels]
        half, quarter, eighth = (level[:, at].flatten(0, 1) for level in per_frame)
        eighth_second = per_frame[2][:, after].flatten(0, 1)  # [B pairs, 256, H, W]

        correlation = functional.leaky_relu(self.correlation(eighth, eighth_second), SLOPE)
        merged = torch.cat(
            [
                self.redirection(eighth),
                correlation,
                first[:, starts].flatten(0, 1),
                second[:, starts].flatten(0, 1),
            ],
            dim=1,
        )
        level3 = self.conv3_1(merged)
        level4 = self.conv4_1(self.conv4(level3))
        level5 = self.conv5_1(self.conv5(level4))
        x = self.conv6_1(self.conv6(level5))
        image = frames[:, starts].flatten(0, 1).unsqueeze(1)

        skips = (level5, level4, level3, quarter, half, image)
        for skip, deconv, predict, upsample in zip(
            skips, self.deconvs, self.predictions, self.upsamplings, strict=False
        ):
            flow = upsample(predict(x))
            x = torch.cat([skip, deconv(x), flow], dim=1)
        return self.predictions[-1](x).unflatten(0, (batch, len(starts)))
